#include "kernels/cuda/sm90/all_reduce.h"

#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

TEST(AllReduceTest, CallNumbersWrapRound) {
  EXPECT_TRUE(HasBegun(5, 5));
  EXPECT_TRUE(HasBegun(6, 5));
  EXPECT_FALSE(HasBegun(4, 5));
  EXPECT_TRUE(HasBegun(0, 0xffffffffu));
  EXPECT_FALSE(HasBegun(0xffffffffu, 0));
  EXPECT_LT(FlagOf(kMaxReduceBlocks - 1, kMaxPeers - 1), kFlagWords);
}

// The ranks' kernels run one after the other on one card here, so the flags of those that have not run yet
// are set before.
TEST(AllReduceTest, EveryRankGetsTheSameBits) {
  Random random(1);
  const int ranks = 3;
  const int64_t m = 70, cols = 516;  // more rows than blocks
  std::vector<std::vector<bf16>> shares;
  std::vector<std::unique_ptr<CardArray<bf16>>> card_shares;
  std::vector<std::unique_ptr<CardArray<uint32_t>>> flags;
  for (int r = 0; r < ranks; ++r) {
    shares.push_back(NormalBF16(m * cols, random));
    card_shares.push_back(std::make_unique<CardArray<bf16>>(shares.back()));
    flags.push_back(std::make_unique<CardArray<uint32_t>>(std::vector<uint32_t>(kFlagWords, 0)));
  }
  const std::vector<bf16> residual = NormalBF16(m * cols, random);
  const std::vector<float> weight = UniformFloats(cols, random, 0.5f, 2.0f);
  const CardArray<float> card_weight(weight);
  std::vector<bf16> first_residual, first_normed;
  for (int r = 0; r < ranks; ++r) {
    const CardArray<bf16> card_residual(residual), normed(m * cols);
    const CardArray<uint32_t> calls(std::vector<uint32_t>(kMaxReduceBlocks, 0)),
        missing(std::vector<uint32_t>{0});
    std::vector<uint32_t> seen = flags[r]->Read();
    for (int b = 0; b < kMaxReduceBlocks; ++b) {
      for (int peer = r + 1; peer < ranks; ++peer) seen[FlagOf(b, peer)] = 1;
      for (int peer = 0; peer < r; ++peer)
        ASSERT_EQ(seen[FlagOf(b, peer)], 1u) << "rank " << peer << " did not tell rank " << r;
    }
    flags[r]->Write(seen);
    AllReduceNormArgs args{.rank = r,
                           .ranks = ranks,
                           .share_stride = cols,
                           .calls = calls.data(),
                           .missing = missing.data(),
                           .deadline_ns = 1000000000,
                           .residual = {card_residual.data(), DType::kBF16, m, cols, cols},
                           .weight = card_weight.data(),
                           .normed = {normed.data(), DType::kBF16, m, cols, cols}};
    for (int peer = 0; peer < ranks; ++peer) {
      args.shares[peer] = card_shares[peer]->data();
      args.flags[peer] = flags[peer]->data();
    }
    AllReduceNorm(args, {});
    CardWait();
    EXPECT_EQ(missing.Read()[0], 0u);
    EXPECT_EQ(calls.Read()[0], 1u);
    const std::vector<bf16> sums = card_residual.Read(), out = normed.Read();
    for (int64_t row = 0; row < m; ++row) {
      std::vector<double> expected(cols);
      double squares = 0;
      for (int64_t c = 0; c < cols; ++c) {
        float sum = 0;
        for (int peer = 0; peer < ranks; ++peer) sum += ToFloat(shares[peer][row * cols + c]);
        const bf16 rounded = ToBF16(ToFloat(residual[row * cols + c]) + sum);
        ASSERT_EQ(sums[row * cols + c].bits, rounded.bits) << row << " " << c;
        expected[c] = static_cast<double>(ToFloat(rounded));
        squares += expected[c] * expected[c];
      }
      for (int64_t c = 0; c < cols; ++c) {
        expected[c] *= static_cast<double>(weight[c]) / std::sqrt(squares / static_cast<double>(cols) + 1e-6);
      }
      SCOPED_TRACE(row);
      ExpectRow(out.data() + row * cols, expected, 1e-5);
    }
    if (r == 0) first_normed = out;
    for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i].bits, first_normed[i].bits);
  }
}

TEST(AllReduceTest, SaysWhoDidNotCome) {
  Random random(2);
  const int64_t cols = 128;
  const CardArray<bf16> share(NormalBF16(cols, random)), residual(NormalBF16(cols, random)), normed(cols);
  const CardArray<float> weight(UniformFloats(cols, random, 1.0f, 1.0f));
  const CardArray<uint32_t> mine(std::vector<uint32_t>(kFlagWords, 0)),
      theirs(std::vector<uint32_t>(kFlagWords, 0)), calls(std::vector<uint32_t>(kMaxReduceBlocks, 0)),
      missing(std::vector<uint32_t>{0});
  const AllReduceNormArgs args{.rank = 0,
                               .ranks = 2,
                               .shares = {share.data(), share.data()},
                               .share_stride = cols,
                               .flags = {mine.data(), theirs.data()},
                               .calls = calls.data(),
                               .missing = missing.data(),
                               .deadline_ns = 1000000,
                               .residual = {residual.data(), DType::kBF16, 1, cols, cols},
                               .weight = weight.data(),
                               .normed = {normed.data(), DType::kBF16, 1, cols, cols}};
  AllReduceNorm(args, {});
  CardWait();
  EXPECT_EQ(missing.Read()[0], 2u);  // rank 1
  AllReduceNorm(args, {});           // and nobody waits again
  CardWait();
  EXPECT_EQ(missing.Read()[0], 2u);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
