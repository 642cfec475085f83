// Decode steps as recordings, one for each size of batch that is worth one. A smaller batch is padded to the
// next such size, so that a few recordings serve all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "model/step/step_plan.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// The size to which a batch of `rows` decodes is padded: a power of two, or from 12 on also three quarters of
// one. 0: it would be above `most`.
int64_t GraphBucket(int64_t rows, int64_t most);

// The bucket of a whole step, for each of its `dp` groups alike, 0 when it is to run as it is: every sequence
// decodes one token and draws the next, and no prompt is scored.
int64_t GraphBucketOf(const model::StepPlan& plan, int32_t dp, int64_t most);

class DecodeGraphs {
 public:
  explicit DecodeGraphs(Device& device) : device_(device) {}

  // Queues a step of this bucket by `queue`, which queues the same kernels with the same arguments every
  // time: as it is the first time, which loads what recording must not load; then from a recording.
  absl::Status Run(int64_t bucket, const std::function<absl::Status()>& queue);

  // Recordings hold addresses: those of a world that is gone are of no use.
  void Forget() { graphs_.clear(); }

 private:
  Device& device_;
  std::map<int64_t, std::unique_ptr<Graph>> graphs_;  // null: that bucket has run once
};

}  // namespace deeprack::worker
