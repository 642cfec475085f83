#include "bench/engine/timed_device.h"

#include <functional>
#include <utility>

namespace deeprack::bench {
namespace {

using worker::Device;
using worker::Memory;

class TimedDevice final : public Device {
 public:
  TimedDevice(std::unique_ptr<Device> device, OperationTimes* times)
      : device_(std::move(device)), kernels_(TimedKernels(device_->kernels(), times)) {}

  std::string_view backend() const override { return device_->backend(); }
  std::string description() const override { return device_->description(); }
  const kernels::KernelSet& kernels() const override { return kernels_; }
  const kernels::Execution& execution() const override { return device_->execution(); }
  bool shares_host_memory() const override { return device_->shares_host_memory(); }
  uint64_t memory_identity() const override { return device_->memory_identity(); }
  int64_t AvailableBytes() const override { return device_->AvailableBytes(); }
  absl::StatusOr<Memory> Allocate(const std::string& purpose, int64_t bytes) override {
    return device_->Allocate(purpose, bytes);
  }
  absl::StatusOr<Memory> AllocateStaging(const std::string& purpose, int64_t bytes) override {
    return device_->AllocateStaging(purpose, bytes);
  }
  absl::Status CopyIn(void* to, const void* from, int64_t bytes) override {
    return device_->CopyIn(to, from, bytes);
  }
  absl::Status CopyOut(void* to, const void* from, int64_t bytes) override {
    return device_->CopyOut(to, from, bytes);
  }
  absl::Status CopyWithin(void* to, const void* from, int64_t bytes) override {
    return device_->CopyWithin(to, from, bytes);
  }
  // A recording would hide the operations in it.
  bool records_graphs() const override { return false; }
  absl::StatusOr<std::unique_ptr<worker::Graph>> Record(const std::function<absl::Status()>&) override {
    return absl::UnimplementedError("operations that are timed are not recorded");
  }
  absl::Status Synchronize() override { return device_->Synchronize(); }

 private:
  const std::unique_ptr<Device> device_;
  const kernels::KernelSet& kernels_;
};

}  // namespace

std::unique_ptr<Device> MakeTimedDevice(std::unique_ptr<Device> device, OperationTimes* times) {
  return std::make_unique<TimedDevice>(std::move(device), times);
}

}  // namespace deeprack::bench
