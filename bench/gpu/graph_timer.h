// Times operations as a step runs them: many runs recorded into one CUDA graph, so that the host's launches
// do not count. Compares two runs bit for bit. Prints one line for each case: time, bytes and flops per
// second, share of the floor.
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
  double bytes = 0;  // bytes that must move to or from device memory
  double flops = 0;
  bool fp8 = false;  // the tensor cores' peak is twice that of bf16
  // Enqueues one run on the execution's stream. May choose weights by the iteration.
  std::function<void(int64_t iteration, const kernels::Execution& execution)> run;
  const void* out = nullptr;  // on the device, written by run
  int64_t out_bytes = 0;
};

// Prints the case's line. Returns false if two runs differ in a bit.
bool TimeInGraph(const GraphCase& kernel, const CardLimits& limits);

}  // namespace deeprack::bench
