// OrderedSum (ordered_sum.h) on the device.
#pragma once

#include <cstdint>

#include "base/dtype.h"

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace deeprack::worker {

// out[i] = parts[0 * count + i] + parts[1 * count + i] + ... + parts[(num_parts - 1) * count + i], in that
// order, in fp32, rounded once to `type` (kF32 or kBF16). Device memory; `out` overlaps `parts` not at all.
// Bitwise what the host's OrderedSum gives. Queued on `stream`; false when the launch failed.
bool LaunchOrderedSum(const void* parts, int num_parts, int64_t count, DType type, void* out,
                      CUstream_st* stream);

}  // namespace deeprack::worker
