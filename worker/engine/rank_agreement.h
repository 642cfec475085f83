// What the ranks settle before they load: that all of them can, and how many KV pages each will hold.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sizing/kv_pages.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"
#include "worker/weights/digest.h"

namespace deeprack::worker {

// How a rank sends rows to the experts of its stage's other ranks.
struct RowsToExperts {
  int64_t stage = 0;  // its pp_rank
  Digest form = {};   // of the TravellingRows of all its layers
};

// Collective over `world` (null: one rank alone). `own` is this rank's readiness: an error comes back to it
// as it is, and to the others as FailedPrecondition naming the rank; as do rows of another form than those of
// a rank of the same stage, which its kernels would not read. Otherwise the agreed number of pages, at least
// 1; ResourceExhausted, with the numbers of the tightest rank, when it would be 0. All memory values are
// agreed on before anything is taken, so that loading needs no further meeting.
// `world` exchanges the device's memory.
absl::StatusOr<int64_t> AgreeToLoad(const absl::Status& own, sizing::RankMemory memory,
                                    const RowsToExperts& rows, int64_t most_blocks, Communicator* world,
                                    Device& device);

}  // namespace deeprack::worker
