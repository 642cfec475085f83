// Ranks as processes with one card each, over NCCL. Buffers are device memory.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// Makes the id by which the ranks of one world find each other. One rank makes it; all ranks of the world
// need it. It is secret and valid for one world. FailedPrecondition: the build has no NCCL.
absl::StatusOr<std::string> NewNcclWorldId();

// Joins the world `id` as `rank` of `size`. The calling thread must be the one that uses `device`, a card
// that no other rank has. Calls queue their work on the device's stream and return; Await waits for the work
// until the deadline. Abort from another thread ends this rank's waiting. Peers that wait in a kernel for
// this rank end at their own deadline, because a running kernel receives no message.
absl::StatusOr<std::unique_ptr<Communicator>> JoinNcclWorld(const std::string& id, int rank, int size,
                                                            std::shared_ptr<Device> device,
                                                            absl::Duration timeout);

}  // namespace deeprack::worker
