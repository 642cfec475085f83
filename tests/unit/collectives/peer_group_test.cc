// Sums and exchanges through peers' memory. Each rank is a thread with its own emulated card.
#include "worker/collectives/peer/peer_group.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/sm90/peers.h"
#include "worker/collectives/local/local_world.h"
#include "worker/collectives/staged/staged_communicator.h"
#include "worker/device/emulated/emulated_device.h"

namespace deeprack::worker {
namespace {

constexpr int64_t kRows = 6, kCols = 36;

void Sum(Device& device, const PeerGroup& peers, const kernels::Matrix& x) {
  kernels::sm90::PeerSum({.x = x, .peers = peers.memory()}, device.execution());
}

struct RankOfTest {
  std::shared_ptr<Device> device;
  std::unique_ptr<Communicator> group;
  std::optional<PeerArea> area;

  absl::StatusOr<std::unique_ptr<PeerGroup>> Meet() {
    return PeerGroup::Create(*group, *device, area.has_value() ? &*area : nullptr);
  }
};

// Runs body(rank) for each rank on its own thread. Ranks in `without` have no area.
void OnEveryRank(int size, absl::Duration timeout, int without, const std::function<void(RankOfTest&)>& body,
                 const PeerPlaces& places = sizing::PlacesOfSums(kRows, kCols)) {
  std::vector<std::unique_ptr<Communicator>> world = MakeLocalWorld(size, timeout);
  std::vector<RankOfTest> ranks(world.size());
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      RankOfTest& rank = ranks[static_cast<size_t>(r)];
      rank.device = MakeEmulatedDevice(1, {});
      rank.group = MakeStagedCommunicator(rank.device, std::move(world[static_cast<size_t>(r)]));
      if (r != without) {
        auto area = PeerArea::Create(*rank.device, places);
        ASSERT_TRUE(area.ok()) << area.status();
        rank.area = *std::move(area);
      }
      body(rank);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A matrix in the device's memory, and its values on the host.
class CardMatrix {
 public:
  CardMatrix(Device& device, int64_t rows, uint32_t seed) : device_(device), values_(rows * kCols) {
    std::mt19937 random(seed);
    for (bf16& value : values_) value = ToBF16(std::normal_distribution<float>()(random));
    memory_ = *device.Allocate("a matrix", Bytes());
    EXPECT_TRUE(device.CopyIn(memory_.data(), values_.data(), Bytes()).ok());
    EXPECT_TRUE(device.Synchronize().ok());
  }
  kernels::Matrix matrix() const {
    return {memory_.data(), DType::kBF16, std::ssize(values_) / kCols, kCols, kCols};
  }
  std::vector<uint16_t> Read() {
    std::vector<uint16_t> bits(values_.size());
    EXPECT_TRUE(device_.CopyOut(bits.data(), memory_.data(), Bytes()).ok());
    EXPECT_TRUE(device_.Synchronize().ok());
    return bits;
  }

 private:
  int64_t Bytes() const { return std::ssize(values_) * static_cast<int64_t>(sizeof(bf16)); }
  Device& device_;
  std::vector<bf16> values_;
  Memory memory_;
};

TEST(PeerGroupTest, SumsAreTheCommunicatorsBitForBit) {
  for (const int size : {2, 3, 5}) {
    OnEveryRank(size, absl::Minutes(5), -1, [](RankOfTest& rank) {
      const auto peers = rank.Meet();
      ASSERT_TRUE(peers.ok()) << peers.status();
      uint32_t seed = static_cast<uint32_t>(rank.group->rank());
      for (const int64_t rows : {1, 6, 2, 2, 5, 1}) {
        CardMatrix own(*rank.device, rows, seed), same(*rank.device, rows, seed);
        seed += 10;
        Sum(*rank.device, **peers, own.matrix());
        ASSERT_TRUE(rank.group->AllReduceSum(same.matrix().data, rows * kCols, DType::kBF16).ok());
        EXPECT_EQ(own.Read(), same.Read()) << rows;
        ASSERT_TRUE((*peers)->Check().ok());
      }
    });
  }
}

// The number of rows that rank `from` sends to rank `to` in a call, and each row's values.
int64_t RowsBetween(int call, int from, int to, int64_t slots) {
  return (call + 3 * from + 2 * to) % (slots + 1);
}
uint32_t ValueOf(int call, int from, int to, int64_t row) {
  return static_cast<uint32_t>(((call * 16 + from) * 16 + to) * 256 + row);
}

TEST(PeerGroupTest, RowsOfAnyNumberComeToEveryRank) {
  constexpr int64_t kSlots = 4, kWords = 8;  // of a row
  const int64_t row_bytes = kWords * static_cast<int64_t>(sizeof(uint32_t));
  for (const int size : {2, 3, 8}) {
    const auto body = [&](RankOfTest& rank) {
      const auto peers = rank.Meet();
      ASSERT_TRUE(peers.ok()) << peers.status();
      Device& device = *rank.device;
      const int own = rank.group->rank();
      const int64_t rows = size * kSlots, bytes = rows * row_bytes;
      const auto allocate = [&](int64_t count) { return *device.Allocate("a buffer", count); };
      const Memory send = allocate(bytes), receive = allocate(bytes), rows_to = allocate(8 * size),
                   rows_from = allocate(8 * size);
      // Some calls have fewer slots, because steps have different sizes.
      for (int call = 0; call < 7; ++call) {
        const int64_t slots = call % 3 == 2 ? 1 : kSlots;
        std::vector<uint32_t> sent(static_cast<size_t>(rows * kWords), 0xffffffffu), received(sent);
        std::vector<int64_t> to(static_cast<size_t>(size)), from(to);
        for (int r = 0; r < size; ++r) {
          to[r] = RowsBetween(call, own, r, slots);
          for (int64_t i = 0; i < to[r] * kWords; ++i)
            sent[r * slots * kWords + i] = ValueOf(call, own, r, i / kWords);
        }
        ASSERT_TRUE(device.CopyIn(send.data(), sent.data(), bytes).ok());
        ASSERT_TRUE(device.CopyIn(receive.data(), received.data(), bytes).ok());
        ASSERT_TRUE(device.CopyIn(rows_to.data(), to.data(), 8 * size).ok());
        kernels::sm90::PeerExchange({.send = send.data(),
                                     .rows_to = reinterpret_cast<const int64_t*>(rows_to.data()),
                                     .receive = receive.data(),
                                     .rows_from = reinterpret_cast<int64_t*>(rows_from.data()),
                                     .slots = slots,
                                     .row_bytes = row_bytes,
                                     .peers = (*peers)->memory()},
                                    device.execution());
        ASSERT_TRUE(device.Synchronize().ok());
        ASSERT_TRUE(device.CopyOut(received.data(), receive.data(), bytes).ok());
        ASSERT_TRUE(device.CopyOut(from.data(), rows_from.data(), 8 * size).ok());
        ASSERT_TRUE(device.Synchronize().ok());
        ASSERT_TRUE((*peers)->Check().ok());
        for (int r = 0; r < size; ++r) {
          EXPECT_EQ(from[r], RowsBetween(call, r, own, slots)) << call;
          for (int64_t i = 0; i < slots * kWords; ++i) {
            const bool there = i / kWords < from[r];
            EXPECT_EQ(received[r * slots * kWords + i],
                      there ? ValueOf(call, r, own, i / kWords) : 0xffffffffu)
                << call << " from " << r;
          }
        }
      }
      ASSERT_TRUE(rank.group->Barrier().ok());
    };
    OnEveryRank(size, absl::Minutes(5), -1, body, sizing::PlacesOfExchanges(size, kSlots, row_bytes));
  }
}

// Call numbers of an earlier epoch must not count in the next one, at whatever call the ranks had stopped.
TEST(PeerGroupTest, MeetsAgainWithTheAreasItHas) {
  OnEveryRank(3, absl::Minutes(5), -1, [](RankOfTest& rank) {
    for (int epoch = 0; epoch < 3; ++epoch) {
      const auto peers = rank.Meet();
      ASSERT_TRUE(peers.ok()) << peers.status();
      for (int i = 0; i < 3 + epoch; ++i) {
        CardMatrix own(*rank.device, 2, 7), same(*rank.device, 2, 7);
        Sum(*rank.device, **peers, own.matrix());
        ASSERT_TRUE(rank.group->AllReduceSum(same.matrix().data, 2 * kCols, DType::kBF16).ok());
        EXPECT_EQ(own.Read(), same.Read());
      }
      ASSERT_TRUE((*peers)->Check().ok());
    }
  });
}

TEST(PeerGroupTest, EveryoneKnowsWhoCannotShare) {
  OnEveryRank(3, absl::Minutes(5), /*without=*/1, [](RankOfTest& rank) {
    const auto peers = rank.Meet();
    EXPECT_EQ(peers.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(peers.status().message().find("rank 1 shares no memory"), std::string::npos) << peers.status();
  });
}

TEST(PeerGroupTest, NamesTheRankThatDidNotCome) {
  OnEveryRank(3, absl::Seconds(6), -1, [](RankOfTest& rank) {
    const auto peers = rank.Meet();
    ASSERT_TRUE(peers.ok()) << peers.status();
    if (rank.group->rank() == 1) return std::this_thread::sleep_for(std::chrono::seconds(9));
    CardMatrix own(*rank.device, 1, 1);
    for (int i = 0; i < 50; ++i) Sum(*rank.device, **peers, own.matrix());  // waits one deadline, not fifty
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(rank.device->Synchronize().ok());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
    const absl::Status status = (*peers)->Check();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_NE(status.message().find("for rank 1 in an exchange"), std::string::npos) << status;
  });
}

TEST(PeerGroupTest, ReleaseEndsTheWait) {
  OnEveryRank(2, absl::Minutes(5), -1, [](RankOfTest& rank) {
    const auto peers = rank.Meet();
    ASSERT_TRUE(peers.ok()) << peers.status();
    if (rank.group->rank() == 0) {
      std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        (*peers)->Release();
      });
      CardMatrix own(*rank.device, 1, 1);
      Sum(*rank.device, **peers, own.matrix());
      ASSERT_TRUE(rank.device->Synchronize().ok());
      other.join();
      EXPECT_EQ((*peers)->Check().code(), absl::StatusCode::kAborted);
    }
    ASSERT_TRUE(rank.group->Barrier().ok());  // peers' memory outlives the sum
  });
}

}  // namespace
}  // namespace deeprack::worker
