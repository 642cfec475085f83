// Ranks as processes with a card each, over NCCL. Buffers are device memory.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// The secret by which the ranks of one world find each other: made by one of them, carried to all, good for
// one world. FailedPrecondition in a build without NCCL.
absl::StatusOr<std::string> NewNcclWorldId();

// Joins the world of `id` as `rank` of `size`, from the thread that uses `device`, a card no other rank has.
// Calls queue their work on its stream and return; Await waits for it, up to the deadline. Abort from another
// thread ends what this rank waits for; peers that wait for it in a kernel notice at their own deadline, as a
// card takes no other message.
absl::StatusOr<std::unique_ptr<Communicator>> JoinNcclWorld(const std::string& id, int rank, int size,
                                                            std::shared_ptr<Device> device,
                                                            absl::Duration timeout);

}  // namespace deeprack::worker
