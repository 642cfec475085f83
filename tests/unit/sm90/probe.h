// Runs one matrix instruction at a time: d[64, n] = sum over k of a[m, k] * b[n, k], with 128 bytes of k,
// through the copy engine, shared memory, a barrier, descriptors and accumulators. If a kernel fails on a new
// card, these tests show which instruction differs from its description.
#pragma once

#include "kernels/api/execution.h"

namespace deeprack::kernels::sm90 {

// kE4M3, kE4M3ARegisters: a [64, 128], b [n, 128]. Others bf16: a [64, 64] or, MN-major, [k 64, 64]; b [n,
// 64] or [k 64, n].
enum class Probe {
  kE4M3,
  kE4M3ARegisters,
  kBF16,
  kBF16ATransposed,
  kBF16BTransposed,
  kBF16BothTransposed,
  kBF16ARegisters,
  kBF16ARegistersBTransposed,
  kBF16ThenE4M3
};

// n: 8, 16, 32, 64 or 128; transposed b: 64 or 128.
void RunProbe(Probe probe, int n, const void* a, const void* b, float* d, const Execution& execution);

}  // namespace deeprack::kernels::sm90
