// Times operations as a step runs them: recorded into a CUDA graph, many in a row, so that the host's
// launches do not count. Holds two runs against each other, and prints one line for each: time, bytes and
// flops per second, the share of the floor.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/gpu/kernel_timer.h"
#include "kernels/api/execution.h"

namespace deeprack::bench {

struct GraphCase {
  std::string name;
  double bytes = 0;  // that must move to or from device memory
  double flops = 0;
  bool fp8 = false;  // the matrix units' peak is twice bf16's
  // Enqueues on the execution's stream; may rotate its weights by the iteration.
  std::function<void(int64_t iteration, const kernels::Execution& execution)> run;
  const void* out = nullptr;  // on the device, written by run
  int64_t out_bytes = 0;
};

// Prints the case's line. False when two runs differ in a bit.
bool TimeInGraph(const GraphCase& kernel, const CardLimits& limits);

}  // namespace deeprack::bench
