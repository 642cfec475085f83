// From fp32 to integers in groups of 128 (int4) or by row (int8), as compressed-tensors stores them: scales
// are bf16 numbers, chosen before the integers, so that nothing is lost by storing them so.
//
// int4: sixteen scales around the one that spans the group's values are tried, and the one with the least
// weighted squared error stays; weights as in base/quantize/block_quantize.h. Symmetric: levels -8..7 times a
// positive scale (zero is 8). Asymmetric: levels 0..15 minus a zero of 0..15.
// int8: the largest magnitude spans 127 levels; nearest level.
#pragma once

#include <cstdint>
#include <span>

#include "base/block_formats.h"
#include "base/dtype.h"

namespace deeprack {

// 128 finite values.
BlockInt4G128 QuantizeInt4Group(std::span<const float> values, bool symmetric);

// A row of finite values into as many integers; the result is the row's scale.
bf16 QuantizeInt8Row(std::span<const float> values, int8_t* out);

}  // namespace deeprack
