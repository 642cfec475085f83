// The ranks' agreement before they load: that all of them can load, that they have the same files, and the
// number of KV pages of each. No rank reads weights before all ranks have agreed.
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

// The parts of RankMemory::fixed_bytes, for messages.
struct FixedBytes {
  int64_t weights = 0;
  int64_t others = 0;  // workspace, tables, areas that peers write
};

// The values that one rank gives for the agreement.
struct RankNeeds {
  sizing::RankMemory memory;
  FixedBytes parts;
  Digest files = {};        // DigestOfHeaders; equal on all ranks
  int64_t most_blocks = 0;  // pages that the rank takes at most; equal on all ranks
  RowsToExperts rows;
};

// Agrees on the number of KV pages, at least 1. Collective over `world` (null: this rank is alone), which
// exchanges the device's memory. `own` is this rank's readiness. Errors: `own` on this rank, and
// FailedPrecondition with the rank's name on all others; FailedPrecondition, with ranks and hosts, if some
// ranks have other files of the model than most; FailedPrecondition if two ranks of a stage send rows in
// different forms, which the other's kernels would not read; ResourceExhausted, with ranks, hosts and bytes,
// if the ranks of one memory need more than is free there or the number of pages would be 0. The ranks agree
// before any of them takes memory, so the load after it needs no exchange between ranks.
absl::StatusOr<int64_t> AgreeToLoad(const absl::Status& own, const RankNeeds& needs, Communicator* world,
                                    Device& device);

}  // namespace deeprack::worker
