// The functions of cuda_device.h in a build without CUDA.
#include "worker/device/cuda/cuda_device.h"

namespace deeprack::worker {
namespace {

absl::Status Absent() {
  return absl::FailedPreconditionError(
      "this build has no CUDA: build it where nvcc and NCCL are found, or use --backend cpu, which runs "
      "every model");
}

}  // namespace

absl::StatusOr<int> CountCards() { return Absent(); }
absl::StatusOr<kernels::CardProperties> PropertiesOfCard(int) { return Absent(); }
absl::StatusOr<std::string> NameOfCard(int) { return Absent(); }
absl::StatusOr<std::unique_ptr<Device>> OpenCudaDevice(int, int, const kernels::KernelChoice&) {
  return Absent();
}

}  // namespace deeprack::worker
