#include "kernels/cuda/sm90/peers.h"

#include <cstring>

#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

TEST(PeerSumTest, CallNumbersWrapRound) {
  EXPECT_TRUE(HasBegun(5, 5));
  EXPECT_TRUE(HasBegun(6, 5));
  EXPECT_FALSE(HasBegun(4, 5));
  EXPECT_TRUE(HasBegun(0, 0xffffffffu));
  EXPECT_FALSE(HasBegun(0xffffffffu, 0));
  EXPECT_LT(PeerWordOf(kMaxPeerRows - 1, kMaxPeers - 1), kPeerWords);
}

int64_t PlaceBytes(int64_t cols) { return cols * static_cast<int64_t>(sizeof(float)); }

// Ranks whose kernels run one after the other on one card. What those that come later would have done by
// then, rows and flags, is put there before.
class Ranks {
 public:
  Ranks(int count, int64_t rows, int64_t cols, uint32_t calls_so_far)
      : rows_(rows), cols_(cols), calls_so_far_(calls_so_far), missing_(std::vector<uint32_t>{0}) {
    for (int r = 0; r < count; ++r) {
      areas_.push_back(std::make_unique<CardArray<uint8_t>>(PeerAreaBytes(rows, PlaceBytes(cols))));
      flags_.push_back(
          std::make_unique<CardArray<uint32_t>>(std::vector<uint32_t>(kPeerWords, calls_so_far)));
      calls_.push_back(
          std::make_unique<CardArray<uint32_t>>(std::vector<uint32_t>(kPeerWords, calls_so_far)));
    }
  }

  // Sets the stage for rank r's kernel; shares[peer] are [rows, cols].
  template <class S>
  PeerMemory Prepare(int r, const std::vector<std::vector<S>>& shares) {
    const int ranks = static_cast<int>(areas_.size());
    std::vector<uint32_t> seen = flags_[r]->Read();
    for (int64_t b = 0; b < kMaxPeerRows; ++b) {
      for (int peer = 0; peer < r; ++peer) {
        EXPECT_EQ(seen[PeerWordOf(b, peer)], calls_so_far_ + (b < rows_ ? 1 : 0)) << peer << " told " << r;
      }
      for (int peer = r + 1; peer < ranks; ++peer) seen[PeerWordOf(b, peer)] = calls_so_far_ + 1;
    }
    flags_[r]->Write(seen);
    areas_[r]->Write(std::vector<uint8_t>(PeerAreaBytes(rows_, PlaceBytes(cols_)), 0xff));
    for (int peer = r + 1; peer < ranks; ++peer) {
      std::vector<uint8_t> area(PeerAreaBytes(rows_, PlaceBytes(cols_)), 0xff);
      for (int64_t row = 0; row < rows_; ++row) {
        const int64_t place = (row * 2 + (calls_so_far_ + 1) % 2) * PlaceBytes(cols_);
        std::memcpy(area.data() + place, shares[peer].data() + row * cols_, cols_ * sizeof(S));
      }
      areas_[peer]->Write(area);
    }
    PeerMemory peers = {.rank = r,
                        .ranks = ranks,
                        .places = rows_,
                        .place_bytes = PlaceBytes(cols_),
                        .calls = calls_[r]->data(),
                        .missing = missing_.data(),
                        .deadline_ns = 2'000'000'000};
    for (int peer = 0; peer < ranks; ++peer) {
      peers.areas[peer] = areas_[peer]->data();
      peers.flags[peer] = flags_[peer]->data();
    }
    return peers;
  }

  uint32_t missing() const { return missing_.Read()[0]; }
  std::vector<uint32_t> CallsOf(int r) const { return calls_[r]->Read(); }

 private:
  const int64_t rows_, cols_;
  const uint32_t calls_so_far_;
  std::vector<std::unique_ptr<CardArray<uint8_t>>> areas_;
  std::vector<std::unique_ptr<CardArray<uint32_t>>> flags_, calls_;
  CardArray<uint32_t> missing_;
};

constexpr int64_t kRows = 70, kCols = 516;

std::vector<std::vector<bf16>> Shares(int ranks, Random& random) {
  std::vector<std::vector<bf16>> shares;
  for (int r = 0; r < ranks; ++r) shares.push_back(NormalBF16(kRows * kCols, random));
  return shares;
}

float SumAt(const std::vector<std::vector<bf16>>& shares, int64_t at) {
  float sum = 0;
  for (const std::vector<bf16>& share : shares) sum += ToFloat(share[at]);
  return sum;
}

TEST(PeerSumTest, IsTheSumInRankOrder) {
  for (const uint32_t calls_so_far : {0u, 1u, 0xffffffffu}) {
    Random random(1);
    const std::vector<std::vector<bf16>> shares = Shares(3, random);
    Ranks ranks(3, kRows, kCols, calls_so_far);
    for (int r = 0; r < 3; ++r) {
      const PeerMemory peers = ranks.Prepare(r, shares);
      const CardArray<bf16> x(shares[r]);
      PeerSum({.x = {x.data(), DType::kBF16, kRows, kCols, kCols}, .peers = peers}, {});
      CardWait();
      EXPECT_EQ(ranks.missing(), 0u);
      const std::vector<uint32_t> calls = ranks.CallsOf(r);
      EXPECT_EQ(calls[PeerWordOf(kRows - 1, 0)], calls_so_far + 1);
      EXPECT_EQ(calls[PeerWordOf(kRows, 0)], calls_so_far);
      const std::vector<bf16> sums = x.Read();
      for (int64_t i = 0; i < kRows * kCols; ++i)
        ASSERT_EQ(sums[i].bits, ToBF16(SumAt(shares, i)).bits) << r << " " << i;
    }
  }
}

TEST(PeerSumTest, TakesFp32) {
  Random random(3);
  std::vector<std::vector<float>> shares;
  for (int r = 0; r < 2; ++r) shares.push_back(UniformFloats(kRows * kCols, random, -1.0f, 1.0f));
  Ranks ranks(2, kRows, kCols, 0);
  for (int r = 0; r < 2; ++r) {
    const PeerMemory peers = ranks.Prepare(r, shares);
    const CardArray<float> x(shares[r]);
    PeerSum({.x = {x.data(), DType::kF32, kRows, kCols, kCols}, .peers = peers}, {});
    CardWait();
    const std::vector<float> sums = x.Read();
    for (int64_t i = 0; i < kRows * kCols; ++i)
      ASSERT_EQ(sums[i], shares[0][i] + shares[1][i]) << r << " " << i;
  }
}

// Bit for bit what a sum, and the norm after it, give.
TEST(PeerSumTest, FusedWithTheNormItGivesTheSameBits) {
  Random random(2);
  const std::vector<std::vector<bf16>> shares = Shares(3, random);
  const std::vector<bf16> residual = NormalBF16(kRows * kCols, random);
  const CardArray<float> weight(UniformFloats(kCols, random, 0.5f, 2.0f));
  const auto matrix = [](const CardArray<bf16>& array) {
    return Matrix{array.data(), DType::kBF16, kRows, kCols, kCols};
  };
  std::vector<float> sum(kRows * kCols);
  for (int64_t i = 0; i < kRows * kCols; ++i) sum[i] = SumAt(shares, i);
  const CardArray<float> card_sum(sum);
  const CardArray<bf16> expected_residual(residual), expected(kRows * kCols);
  NormQuantise({.x = {card_sum.data(), DType::kF32, kRows, kCols, kCols},
                .residual = matrix(expected_residual),
                .weight = weight.data(),
                .normed = matrix(expected)},
               {});
  Ranks ranks(3, kRows, kCols, 6);
  for (int r = 0; r < 3; ++r) {
    const PeerMemory peers = ranks.Prepare(r, shares);
    const CardArray<bf16> x(shares[r]), own_residual(residual), normed(kRows * kCols);
    PeerSumNorm({.peers = peers,
                 .x = matrix(x),
                 .residual = matrix(own_residual),
                 .weight = weight.data(),
                 .normed = matrix(normed)},
                {});
    CardWait();
    EXPECT_EQ(ranks.missing(), 0u);
    const auto same = [](const CardArray<bf16>& a, const CardArray<bf16>& b) {
      return std::memcmp(a.Read().data(), b.Read().data(), kRows * kCols * sizeof(bf16)) == 0;
    };
    EXPECT_TRUE(same(own_residual, expected_residual));
    EXPECT_TRUE(same(normed, expected));
    EXPECT_EQ(std::memcmp(x.Read().data(), shares[r].data(), kRows * kCols * sizeof(bf16)), 0)
        << "left alone";
  }
}

TEST(PeerSumTest, SaysWhoDidNotCome) {
  Random random(2);
  const CardArray<bf16> x(NormalBF16(128, random));
  const CardArray<uint8_t> area(PeerAreaBytes(1, 512));
  const CardArray<uint32_t> mine(std::vector<uint32_t>(kPeerWords, 0)),
      theirs(std::vector<uint32_t>(kPeerWords, 0)), calls(std::vector<uint32_t>(kPeerWords, 0)),
      missing(std::vector<uint32_t>{0});
  const PeerSumArgs args{.x = {x.data(), DType::kBF16, 1, 128, 128},
                         .peers = {.ranks = 2,
                                   .areas = {area.data(), area.data()},
                                   .flags = {mine.data(), theirs.data()},
                                   .places = 1,
                                   .place_bytes = 512,
                                   .calls = calls.data(),
                                   .missing = missing.data(),
                                   .deadline_ns = 1'000'000}};
  PeerSum(args, {});
  CardWait();
  EXPECT_EQ(missing.Read()[0], 2u);  // rank 1
  PeerSum(args, {});                 // no later call waits
  CardWait();
  EXPECT_EQ(missing.Read()[0], 2u);
}

// A rank alone sends to itself: rows in slots, of which some are empty.
TEST(PeerExchangeTest, LeavesEmptySlotsAlone) {
  constexpr int64_t kSlots = 5, kWords = 12;
  Random random(4);
  const std::vector<float> rows = UniformFloats(kSlots * kWords, random, -1.0f, 1.0f);
  const CardArray<float> send(rows);
  const CardArray<uint8_t> area(PeerAreaBytes(kSlots, kPeerRowHeader + kWords * 4));
  const CardArray<uint32_t> flags(std::vector<uint32_t>(kPeerWords, 0)),
      calls(std::vector<uint32_t>(kPeerWords, 0)), missing(std::vector<uint32_t>{0});
  for (const int64_t count : {3, 5, 0, 1}) {
    const CardArray<float> receive(std::vector<float>(kSlots * kWords, 7.0f));
    const CardArray<int64_t> rows_to(std::vector<int64_t>{count}), rows_from(1);
    PeerExchange({.send = send.data(),
                  .rows_to = rows_to.data(),
                  .receive = receive.data(),
                  .rows_from = rows_from.data(),
                  .slots = kSlots,
                  .row_bytes = kWords * 4,
                  .peers = {.areas = {area.data()},
                            .flags = {flags.data()},
                            .places = kSlots,
                            .place_bytes = kPeerRowHeader + kWords * 4,
                            .calls = calls.data(),
                            .missing = missing.data(),
                            .deadline_ns = 1'000'000'000}},
                 {});
    CardWait();
    EXPECT_EQ(missing.Read()[0], 0u);
    EXPECT_EQ(rows_from.Read()[0], count);
    const std::vector<float> received = receive.Read();
    for (int64_t i = 0; i < kSlots * kWords; ++i)
      EXPECT_EQ(received[i], i < count * kWords ? rows[i] : 7.0f) << i;
  }
}

}  // namespace
}  // namespace deeprack::kernels::sm90
