#include "bench/engine/timed_device.h"

#include <utility>

#include "bench/engine/forwarding_device.h"

namespace deeprack::bench {
namespace {

class TimedDevice final : public ForwardingDevice {
 public:
  TimedDevice(std::unique_ptr<worker::Device> device, OperationTimes* times)
      : ForwardingDevice(std::move(device)), kernels_(TimedKernels(inner().kernels(), times)) {}

  const kernels::KernelSet& kernels() const override { return kernels_; }
  // A recording would hide the operations in it.
  bool records_graphs() const override { return false; }
  absl::StatusOr<std::unique_ptr<worker::Graph>> Record(const std::function<absl::Status()>&) override {
    return absl::UnimplementedError("operations that are timed are not recorded");
  }

 private:
  const kernels::KernelSet& kernels_;
};

}  // namespace

std::unique_ptr<worker::Device> MakeTimedDevice(std::unique_ptr<worker::Device> device,
                                                OperationTimes* times) {
  return std::make_unique<TimedDevice>(std::move(device), times);
}

}  // namespace deeprack::bench
