// Decode steps as recordings, one for each of a few batch sizes (buckets). A batch is padded to the next
// bucket, so that a few recordings serve all batches.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "worker/device/device.h"
#include "worker/sequences/group_step.h"

namespace deeprack::worker {

// The bucket of a batch of `rows` decodes: a power of two or, from 12 on, also three quarters of a power of
// two. 0: the bucket would be above `most`.
int64_t GraphBucket(int64_t rows, int64_t most);

// The bucket of a step, equal for all of its dp groups. 0: the step runs without a recording, because it does
// more than decode, or has no rows, or too many.
int64_t GraphBucketOf(const GroupStep& step, int64_t most);

class DecodeGraphs {
 public:
  explicit DecodeGraphs(Device& device) : device_(device) {}

  // Queues a step of this bucket. `queue` must queue the same kernels with the same arguments each time. The
  // first call runs `queue` without recording, which loads kernels; the second records; later ones replay.
  absl::Status Run(int64_t bucket, const std::function<absl::Status()>& queue);

  // Deletes all recordings. They contain addresses of a world, so they must be deleted with the world.
  void Forget() { graphs_.clear(); }

 private:
  Device& device_;
  std::map<int64_t, std::unique_ptr<Graph>> graphs_;  // null: the bucket has run once, unrecorded
};

}  // namespace deeprack::worker
