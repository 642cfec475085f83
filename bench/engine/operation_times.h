// A KernelSet that times every call and forwards the call to another set.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "kernels/api/kernel_set.h"

namespace deeprack::bench {

// All calls of one operation with one shape of weights.
struct OperationTime {
  int64_t calls = 0;
  double seconds = 0;
  double weight_bytes =
      0;  // packed weights read; an expert's weight once for each call with rows for the expert
  double cache_bytes = 0;  // KV entries that queries attend to, once for each sequence
  double flops = 0;        // of matrix products and attention; a multiply-add is two
};

using OperationTimes = std::map<std::string, OperationTime>;  // "linear 7168x16384 Q4_K"

// Returns the operations of `inner`, timed into `times`. A program has one such set at a time, since
// operations are plain functions: `inner` and `times` must live until the next call of this function. If
// operations return before they end, `wait` waits for each of them, and only calls and seconds are counted.
const kernels::KernelSet& TimedKernels(const kernels::KernelSet& inner, OperationTimes* times,
                                       std::function<void()> wait = nullptr);

}  // namespace deeprack::bench
