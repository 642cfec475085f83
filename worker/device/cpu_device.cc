#include "worker/device/cpu_device.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "worker/device/host_memory.h"

namespace deeprack::worker {
namespace {

class CpuDevice final : public Device {
 public:
  CpuDevice(const kernels::ThreadPoolOptions& pool, const kernels::KernelSet& kernels,
            PlaceMemory place_memory)
      : kernels_(kernels),
        place_memory_(std::move(place_memory)),
        pool_(kernels::MakeThreadPool(pool)),
        execution_{.pool = pool_.get()} {}

  std::string_view backend() const override { return "cpu"; }
  std::string description() const override {
    return absl::StrCat("cpu, ", pool_->threads(), " threads, ", std::string(kernels_.name), " kernels");
  }
  const kernels::KernelSet& kernels() const override { return kernels_; }
  const kernels::Execution& execution() const override { return execution_; }

  bool shares_host_memory() const override { return true; }
  uint64_t memory_identity() const override { return HostIdentity(); }
  int64_t AvailableBytes() const override { return AvailableHostBytes(); }

  absl::StatusOr<Memory> Allocate(const std::string& purpose, int64_t bytes) override {
    DR_ASSIGN_OR_RETURN(Memory memory, MapHostMemory(purpose, bytes));
    if (place_memory_ && memory.bytes() > 0) place_memory_(memory.data(), memory.bytes());
    return memory;
  }
  absl::StatusOr<Memory> AllocateStaging(const std::string& purpose, int64_t bytes) override {
    return Allocate(purpose, bytes);
  }

  absl::Status CopyIn(void* to, const void* from, int64_t bytes) override {
    return CopyWithin(to, from, bytes);
  }
  absl::Status CopyOut(void* to, const void* from, int64_t bytes) override {
    return CopyWithin(to, from, bytes);
  }
  absl::Status CopyWithin(void* to, const void* from, int64_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
    return absl::OkStatus();
  }
  bool records_graphs() const override { return false; }
  absl::StatusOr<std::unique_ptr<Graph>> Record(const std::function<absl::Status()>&) override {
    return absl::UnimplementedError("the CPU device runs every call at once and cannot record work");
  }
  absl::Status Synchronize() override { return absl::OkStatus(); }

 private:
  const kernels::KernelSet& kernels_;
  const PlaceMemory place_memory_;
  const std::unique_ptr<kernels::ThreadPool> pool_;
  const kernels::Execution execution_;
};

}  // namespace

std::unique_ptr<Device> MakeCpuDevice(const kernels::ThreadPoolOptions& pool,
                                      const kernels::KernelSet& kernels, PlaceMemory place_memory) {
  return std::make_unique<CpuDevice>(pool, kernels, std::move(place_memory));
}

}  // namespace deeprack::worker
