// Where time goes: a kernel table that times every call and hands it on to another table.
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
  double weight_bytes = 0;  // packed weights read: an expert's once a call that has rows for it
  double cache_bytes = 0;   // KV entries that queries attend to: a page once for each sequence
  double flops = 0;         // of matrix products and attention; a multiply-add is two
};

using OperationTimes = std::map<std::string, OperationTime>;  // "linear 7168x16384 Q4_K"

// The operations of `inner`, timed into `times`. One such table at a time in a program, since operations are
// plain functions: both must stay until the next call of this. Where operations return before they end,
// `wait` waits for them, each by itself, and only calls and seconds are counted.
const kernels::KernelSet& TimedKernels(const kernels::KernelSet& inner, OperationTimes* times,
                                       std::function<void()> wait = nullptr);

}  // namespace deeprack::bench
