// Sums over peers, each rank a thread with an emulated card of its own.
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
#include "kernels/cuda/sm90/all_reduce.h"
#include "worker/collectives/local/local_world.h"
#include "worker/collectives/staged/staged_communicator.h"
#include "worker/device/emulated/emulated_device.h"

namespace deeprack::worker {
namespace {

constexpr int64_t kRows = 6, kCols = 36;

std::unique_ptr<Device> Card(bool sums = true) {
  kernels::KernelSet kernels = kernels::plain::Kernels();
  if (sums) kernels.peer_sum = kernels::sm90::PeerSum;
  return MakeEmulatedDevice(1, {}, kernels);
}

struct RankOfTest {
  std::shared_ptr<Device> device;
  std::unique_ptr<Communicator> group;
  std::optional<PeerArea> area;

  absl::StatusOr<std::unique_ptr<PeerGroup>> Meet() {
    return PeerGroup::Create(*group, *device, area.has_value() ? &*area : nullptr);
  }
};

// body(rank) on a thread for each; ranks that `without` names have no area.
void OnEveryRank(int size, absl::Duration timeout, int without,
                 const std::function<void(RankOfTest&)>& body) {
  std::vector<std::unique_ptr<Communicator>> world = MakeLocalWorld(size, timeout);
  std::vector<RankOfTest> ranks(world.size());
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      RankOfTest& rank = ranks[static_cast<size_t>(r)];
      rank.device = Card();
      rank.group = MakeStagedCommunicator(rank.device, std::move(world[static_cast<size_t>(r)]));
      if (r != without) {
        auto area = PeerArea::Create(*rank.device, kRows, kCols);
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
        ASSERT_TRUE((*peers)->Serves(own.matrix()));
        (*peers)->Sum(own.matrix());
        ASSERT_TRUE(rank.group->AllReduceSum(same.matrix().data, rows * kCols, DType::kBF16).ok());
        EXPECT_EQ(own.Read(), same.Read()) << rows;
        ASSERT_TRUE((*peers)->Check().ok());
      }
      EXPECT_FALSE((*peers)->Serves(CardMatrix(*rank.device, kRows + 1, 1).matrix()));
    });
  }
}

// No number of an earlier epoch stands for one of the next, whatever the ranks had done by then.
TEST(PeerGroupTest, MeetsAgainWithTheAreasItHas) {
  OnEveryRank(3, absl::Minutes(5), -1, [](RankOfTest& rank) {
    for (int epoch = 0; epoch < 3; ++epoch) {
      const auto peers = rank.Meet();
      ASSERT_TRUE(peers.ok()) << peers.status();
      for (int i = 0; i < 3 + epoch; ++i) {
        CardMatrix own(*rank.device, 2, 7), same(*rank.device, 2, 7);
        (*peers)->Sum(own.matrix());
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
  OnEveryRank(3, absl::Seconds(2), -1, [](RankOfTest& rank) {
    const auto peers = rank.Meet();
    ASSERT_TRUE(peers.ok()) << peers.status();
    if (rank.group->rank() == 1) return std::this_thread::sleep_for(std::chrono::seconds(4));
    CardMatrix own(*rank.device, 1, 1);
    for (int i = 0; i < 50; ++i) (*peers)->Sum(own.matrix());  // one deadline, not fifty
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(rank.device->Synchronize().ok());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
    const absl::Status status = (*peers)->Check();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_NE(status.message().find("for rank 1 in a sum"), std::string::npos) << status;
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
      (*peers)->Sum(own.matrix());
      ASSERT_TRUE(rank.device->Synchronize().ok());
      other.join();
      EXPECT_EQ((*peers)->Check().code(), absl::StatusCode::kAborted);
    }
    ASSERT_TRUE(rank.group->Barrier().ok());  // peers' memory outlives the sum
  });
}

}  // namespace
}  // namespace deeprack::worker
