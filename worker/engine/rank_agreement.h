// The ranks' agreement before they load: that all of them can load, and the number of KV pages of each.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sizing/kv_pages.h"
#include "worker/collectives/communicator.h"
#include "worker/device/device.h"
#include "worker/weights/digest.h"

namespace deeprack::worker {

// The form in which a rank sends rows to the experts of its stage's other ranks.
struct RowsToExperts {
  int64_t stage = 0;  // its pp_rank
  Digest form = {};   // digest of the DispatchRowForm of all its layers
};

// The values that one rank gives for the agreement.
struct RankNeeds {
  sizing::RankMemory memory;
  int64_t most_blocks = 0;  // pages that the rank takes at most; equal on all ranks
  RowsToExperts rows;
};

// Agrees on the number of KV pages, at least 1. Collective over `world` (null: this rank is alone), which
// exchanges the device's memory. `own` is this rank's readiness. Errors: `own` on this rank, and
// FailedPrecondition with the rank's name on all others; FailedPrecondition if two ranks of a stage send rows
// in different forms, which the other's kernels would not read; ResourceExhausted, with the numbers of the
// tightest rank, if the number of pages would be 0. The ranks agree before any of them takes memory, so the
// load after it needs no exchange between ranks.
absl::StatusOr<int64_t> AgreeToLoad(const absl::Status& own, const RankNeeds& needs, Communicator* world,
                                    Device& device);

}  // namespace deeprack::worker
