#include "worker/device/emulated/emulated_device.h"

#include <sys/mman.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status_macros.h"
#include "kernels/api/thread_pool.h"
#include "kernels/cuda/emulator/stream.h"
#include "worker/device/host_memory.h"

namespace deeprack::worker {
namespace {

constexpr int kPoison = 0xee;
constexpr int kMultiprocessors = 2;

using Work = std::vector<kernels::host::Stream::Work>;

class RecordedWork final : public Graph {
 public:
  RecordedWork(Work work, kernels::host::Stream* stream, std::function<void()> on_replay)
      : work_(std::move(work)), stream_(stream), on_replay_(std::move(on_replay)) {}

  absl::Status Replay() override {
    if (on_replay_) on_replay_();
    for (const auto& work : work_) stream_->Enqueue(work);
    return absl::OkStatus();
  }
  int64_t kernels() const override { return std::ssize(work_); }

 private:
  const Work work_;
  kernels::host::Stream* const stream_;
  const std::function<void()> on_replay_;
};

class EmulatedDevice final : public Device {
 public:
  EmulatedDevice(int threads, EmulatedDeviceEvents events, const kernels::KernelSet& kernels)
      : kernels_(kernels),
        pool_(kernels::MakeThreadPool(threads)),
        execution_{.pool = pool_.get(), .stream = &stream_, .multiprocessors = kMultiprocessors},
        events_(std::move(events)) {}

  std::string_view backend() const override { return "cuda-host"; }
  std::string description() const override { return "the CUDA kernels, run on the host"; }
  const kernels::KernelSet& kernels() const override { return kernels_; }
  const kernels::Execution& execution() const override { return execution_; }

  bool shares_host_memory() const override { return false; }
  uint64_t memory_identity() const override { return HostIdentity(); }
  int64_t AvailableBytes() const override { return AvailableHostBytes(); }

  absl::StatusOr<Memory> Allocate(const std::string& purpose, int64_t bytes) override {
    DR_ASSIGN_OR_RETURN(Memory mapped, MapHostMemory(purpose, bytes));
    std::byte* const data = mapped.data();
    if (data == nullptr) return mapped;
    closed_[data] = bytes;
    Protect(data, bytes, PROT_NONE);
    auto kept = std::make_shared<Memory>(std::move(mapped));
    return Memory(data, bytes, [this, kept](std::byte* memory, int64_t) { closed_.erase(memory); });
  }
  // Always accessible: kernels of peers run while this device's do not.
  absl::StatusOr<Memory> AllocateForPeers(const std::string& purpose, int64_t bytes) override {
    return MapHostMemory(purpose, bytes);
  }
  absl::StatusOr<PeerTicket> TicketOf(const Memory& memory) override {
    PeerTicket ticket;
    std::byte* const data = memory.data();
    std::memcpy(ticket.bytes.data(), &data, sizeof(data));
    return ticket;
  }
  absl::StatusOr<Memory> OpenPeerMemory(const PeerTicket& ticket) override {
    std::byte* data = nullptr;
    std::memcpy(&data, ticket.bytes.data(), sizeof(data));
    return Memory(data, 0, nullptr);
  }
  absl::StatusOr<Memory> AllocateStaging(const std::string& purpose, int64_t bytes) override {
    return MapHostMemory(purpose, bytes);
  }

  absl::Status CopyIn(void* to, const void* from_host, int64_t bytes) override {
    sent_.emplace_back(static_cast<const std::byte*>(from_host), bytes);
    return CopyWithin(to, from_host, bytes);
  }
  absl::Status CopyOut(void* to_host, const void* from, int64_t bytes) override {
    std::byte* const to = static_cast<std::byte*>(to_host);
    if (bytes > 0 && !IsToBeSent(to, bytes)) std::memset(to, kPoison, static_cast<size_t>(bytes));
    return CopyWithin(to_host, from, bytes);
  }
  absl::Status CopyWithin(void* to, const void* from, int64_t bytes) override {
    DR_CHECK(!recording_);  // a recording holds kernels only
    if (bytes > 0) stream_.Enqueue([=] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
    return absl::OkStatus();
  }

  bool records_graphs() const override { return true; }
  absl::StatusOr<std::unique_ptr<Graph>> Record(const std::function<absl::Status()>& queue) override {
    Work work;
    stream_.RecordTo(&work);
    recording_ = true;
    const absl::Status queued = queue();
    recording_ = false;
    stream_.RecordTo(nullptr);
    DR_RETURN_IF_ERROR(queued);
    if (events_.graph_recorded) events_.graph_recorded();
    return std::make_unique<RecordedWork>(std::move(work), &stream_, events_.graph_replayed);
  }

  absl::Status Synchronize() override {
    DR_CHECK(!recording_);
    for (const auto& [data, bytes] : closed_) Protect(data, bytes, PROT_READ | PROT_WRITE);
    stream_.Run();
    for (const auto& [data, bytes] : closed_) Protect(data, bytes, PROT_NONE);
    sent_.clear();
    return absl::OkStatus();
  }

 private:
  // True if a queued copy to the device will read some of this memory.
  bool IsToBeSent(const std::byte* data, int64_t bytes) const {
    for (const auto& [begin, count] : sent_) {
      if (begin < data + bytes && data < begin + count) return true;
    }
    return false;
  }

  static void Protect(std::byte* data, int64_t bytes, int access) {
    DR_CHECK(mprotect(data, static_cast<size_t>(bytes), access) == 0);
  }

  const kernels::KernelSet kernels_;
  const std::unique_ptr<kernels::ThreadPool> pool_;
  kernels::host::Stream stream_;
  const kernels::Execution execution_;
  const EmulatedDeviceEvents events_;
  bool recording_ = false;
  std::map<std::byte*, int64_t> closed_;  // the device's memory, which the host cannot access
  std::vector<std::pair<const std::byte*, int64_t>> sent_;  // host memory that queued copies read
};

}  // namespace

std::unique_ptr<Device> MakeEmulatedDevice(int threads, EmulatedDeviceEvents events,
                                           const kernels::KernelSet& kernels) {
  return std::make_unique<EmulatedDevice>(threads, std::move(events), kernels);
}

}  // namespace deeprack::worker
