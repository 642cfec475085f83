// OrderedSum (ordered_sum.h) for device memory.
#pragma once

#include <cstdint>

#include "base/dtype.h"

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace deeprack::worker {

// out[i] = parts[0 * count + i] + parts[1 * count + i] + ... + parts[(num_parts - 1) * count + i], in that
// order, in fp32, rounded once to `type` (kF32 or kBF16): the bits of the host's OrderedSum. `parts`
// [num_parts, count] and `out` [count] are device memory and must not overlap. Queued on `stream`. False: the
// launch failed.
bool LaunchOrderedSum(const void* parts, int num_parts, int64_t count, DType type, void* out,
                      CUstream_st* stream);

}  // namespace deeprack::worker
