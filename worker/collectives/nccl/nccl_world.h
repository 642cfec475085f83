// Ranks as processes with a GPU each, over NCCL. Buffers are device memory.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace deeprack::worker {

// The secret by which the ranks of one world find each other: made by one of them, carried to all.
absl::StatusOr<std::string> NewNcclWorldId();

// Joins the world of `id` as `rank` of `size`, from a thread whose current device is this rank's. Every call
// queues its work behind what is on `stream` and returns when the data is there, or at the deadline. Abort
// from another thread ends this rank's call under way and all later ones; peers that wait for this rank in a
// kernel notice at their own deadline, as a GPU takes no other message. `stream` outlives the communicators.
absl::StatusOr<std::unique_ptr<Communicator>> JoinNcclWorld(const std::string& id, int rank, int size,
                                                            CUstream_st* stream, absl::Duration timeout);

}  // namespace deeprack::worker
