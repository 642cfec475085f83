// Recorded kernels that can be queued again as a whole.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace deeprack::worker {

class Graph {
 public:
  virtual ~Graph() = default;

  // Queues the recorded kernels with the recorded arguments. The kernels read the present contents of the
  // memory that the arguments point to. The device must outlive the graph.
  virtual absl::Status Replay() = 0;

  // The number of recorded kernels.
  virtual int64_t kernels() const = 0;
};

}  // namespace deeprack::worker
