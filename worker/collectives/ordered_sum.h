// Sums ranks' values on the host as communicator.h requires: in rank order, in fp32, rounded once.
#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace deeprack::worker {

// out[i] = in[0][i] + in[1][i] + ... for 0 <= i < count; all arrays [count] of `type` (kF32 or kBF16). `out`
// may be one of the inputs but must not overlap otherwise. `in` must not be empty.
void OrderedSum(std::span<const void* const> in, int64_t count, DType type, void* out);

// Elements [begin, end) that rank `part` of `parts` sums when `count` elements are divided as evenly as
// possible.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};
Range ShareOf(int64_t count, int part, int parts);

}  // namespace deeprack::worker
