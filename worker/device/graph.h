// Work that was recorded once and is queued again as a whole.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace deeprack::worker {

class Graph {
 public:
  virtual ~Graph() = default;

  // Queues the same kernels with the same arguments; what the memory holds that these point to is read anew.
  // The device outlives the graph.
  virtual absl::Status Replay() = 0;

  // Of them.
  virtual int64_t kernels() const = 0;
};

}  // namespace deeprack::worker
