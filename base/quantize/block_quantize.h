// Conversion of fp32 values to GGUF's block formats.
//
// Q4_0, Q5_0 and Q8_0 choose the scale from the block's value of largest magnitude; Q4_1 and Q5_1 choose
// scale and minimum from the block's lowest and highest value. All five round to nearest and give the bytes
// of the `gguf` package.
//
// The K-quants search. Each group's scale (and minimum) is fitted by weighted least squares
// (base/quantize/scale_fit.h). Then the block's d (and dmin) are fitted, then each group's integers again
// with the rounded d (and dmin). The weight of a value x is |x| + rms(group) / 4: an error of a large weight
// changes a product more than its squared error says, and no value has the weight 0.
//
// The bytes depend on the values alone. A value beyond a format's range becomes the largest value of the
// format. A scale too small for half precision becomes zero.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack {

// True for the types that Quantize writes: the GGUF block formats.
bool CanQuantize(DType type);

// Writes `values` [elements] as BytesOf(type, elements) bytes at `blocks`, which may have any alignment. The
// values must be finite, `elements` a multiple of BlockElements(type), and CanQuantize(type) true.
void Quantize(DType type, const float* values, int64_t elements, void* blocks);

}  // namespace deeprack
