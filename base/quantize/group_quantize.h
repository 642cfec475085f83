// Conversion of fp32 values to int4 in groups of 128 and to int8 by row, as compressed-tensors stores them.
// Scales are bf16 numbers. A scale is rounded to bf16 before the integers are chosen, so storing it as bf16
// loses nothing.
//
// int4: tries 16 scales around the scale that spans the group's values, and keeps the one with the least
// weighted squared error. The weight of a value x is |x| + rms(group). Symmetric: levels -8..7 times a
// positive scale (zero is 8). Asymmetric: levels 0..15 minus a zero of 0..15. int8: the scale brings the
// row's largest magnitude to level 127; values are rounded to the nearest level.
#pragma once

#include <cstdint>
#include <span>

#include "base/block_formats.h"
#include "base/dtype.h"

namespace deeprack {

// `values` [128] must be finite.
BlockInt4G128 QuantizeInt4Group(std::span<const float> values, bool symmetric);

// Quantises a row of finite values to `out` [values.size()]. Returns the row's scale.
bf16 QuantizeInt8Row(std::span<const float> values, int8_t* out);

}  // namespace deeprack
