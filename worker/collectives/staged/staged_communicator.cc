#include "worker/collectives/staged/staged_communicator.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>
#include <vector>

#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

// Bytes. Larger sums are made in pieces of this size; elements do not depend on each other.
constexpr int64_t kSumPieceBytes = int64_t{8} << 20;

int64_t Total(std::span<const int64_t> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

// Pinned memory that all groups of one world share. Only one call at a time uses it.
class Staging {
 public:
  explicit Staging(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  Device& device() { return *device_; }

  absl::StatusOr<std::byte*> Reserve(int64_t bytes) {
    if (bytes <= memory_.bytes()) return memory_.data();
    DR_RETURN_IF_ERROR(device_->Synchronize());  // copies may still read the old memory
    memory_ = Memory();
    const auto size = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(bytes)));
    DR_ASSIGN_OR_RETURN(memory_, device_->AllocateStaging("staging of collectives", size));
    return memory_.data();
  }

 private:
  const std::shared_ptr<Device> device_;
  Memory memory_;
};

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::shared_ptr<Staging> staging, std::unique_ptr<Communicator> host)
      : staging_(std::move(staging)), device_(staging_->device()), host_(std::move(host)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  absl::Duration timeout() const override { return host_->timeout(); }

  absl::Status AllReduceSum(void* data, int64_t count, DType type) override {
    const int64_t element = static_cast<int64_t>(SizeOf(type));
    const int64_t piece = kSumPieceBytes / element;
    if (count == 0) return host_->AllReduceSum(data, 0, type);
    for (int64_t begin = 0; begin < count; begin += piece) {
      const int64_t part = std::min(piece, count - begin);
      std::byte* const at = static_cast<std::byte*>(data) + begin * element;
      DR_ASSIGN_OR_RETURN(std::byte * host, Fetch(at, part * element, 0));
      DR_RETURN_IF_ERROR(host_->AllReduceSum(host, part, type));
      DR_RETURN_IF_ERROR(device_.CopyIn(at, host, part * element));
    }
    return absl::OkStatus();
  }

  absl::Status AllGather(const void* in, void* out, int64_t bytes) override {
    return AllGatherV(in, out, std::vector<int64_t>(static_cast<size_t>(size()), bytes));
  }

  absl::Status AllGatherV(const void* in, void* out, std::span<const int64_t> bytes_of) override {
    const int64_t own = bytes_of[static_cast<size_t>(rank())];
    const int64_t total = Total(bytes_of);
    DR_ASSIGN_OR_RETURN(std::byte * host, Fetch(in, own, total));
    DR_RETURN_IF_ERROR(host_->AllGatherV(host, host + own, bytes_of));
    return device_.CopyIn(out, host + own, total);
  }

  absl::Status AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                         std::span<const int64_t> recv_bytes) override {
    const int64_t sent = Total(send_bytes);
    const int64_t received = Total(recv_bytes);
    DR_ASSIGN_OR_RETURN(std::byte * host, Fetch(in, sent, received));
    DR_RETURN_IF_ERROR(host_->AllToAllV(host, send_bytes, host + sent, recv_bytes));
    return device_.CopyIn(out, host + sent, received);
  }

  absl::Status Send(const void* data, int64_t bytes, int to) override {
    DR_ASSIGN_OR_RETURN(std::byte * host, Fetch(data, bytes, 0));
    return host_->Send(host, bytes, to);
  }

  absl::Status Receive(void* data, int64_t bytes, int from) override {
    DR_ASSIGN_OR_RETURN(std::byte * host, Fetch(nullptr, 0, bytes));
    DR_RETURN_IF_ERROR(host_->Receive(host, bytes, from));
    return device_.CopyIn(data, host, bytes);
  }

  absl::Status Barrier() override {
    DR_RETURN_IF_ERROR(device_.Synchronize());
    return host_->Barrier();
  }

  absl::Status Await() override { return absl::OkStatus(); }

  absl::StatusOr<std::unique_ptr<Communicator>> Split(int color) override {
    DR_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> group, host_->Split(color));
    return std::make_unique<StagedCommunicator>(staging_, std::move(group));
  }

  void Abort() override { host_->Abort(); }

 private:
  // Staging memory with `bytes` bytes of the device's at its front, already copied, and room for `more` bytes
  // behind them. No other copy of it is in progress.
  absl::StatusOr<std::byte*> Fetch(const void* data, int64_t bytes, int64_t more) {
    DR_ASSIGN_OR_RETURN(std::byte * host, staging_->Reserve(std::max<int64_t>(bytes + more, 1)));
    DR_RETURN_IF_ERROR(device_.CopyOut(host, data, bytes));
    DR_RETURN_IF_ERROR(device_.Synchronize());
    return host;
  }

  const std::shared_ptr<Staging> staging_;
  Device& device_;
  const std::unique_ptr<Communicator> host_;
};

}  // namespace

std::unique_ptr<Communicator> MakeStagedCommunicator(std::shared_ptr<Device> device,
                                                     std::unique_ptr<Communicator> host) {
  return std::make_unique<StagedCommunicator>(std::make_shared<Staging>(std::move(device)), std::move(host));
}

}  // namespace deeprack::worker
