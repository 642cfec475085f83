// The functions of nccl_world.h in a build without NCCL.
#include "worker/collectives/nccl/nccl_world.h"

namespace deeprack::worker {
namespace {

absl::Status Absent() {
  return absl::FailedPreconditionError("this build has no NCCL: build it where nvcc and NCCL are found");
}

}  // namespace

absl::StatusOr<std::string> NewNcclWorldId() { return Absent(); }
absl::StatusOr<std::unique_ptr<Communicator>> JoinNcclWorld(const std::string&, int, int,
                                                            std::shared_ptr<Device>, absl::Duration) {
  return Absent();
}

}  // namespace deeprack::worker
