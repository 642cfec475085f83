// From fp32 to the block formats of GGUF.
//
// Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 span the block's largest value (or its lowest and highest) and round to
// nearest: the bytes are those of the `gguf` package. The K-quants search: each group's scale (and minimum)
// is fitted by weighted least squares (base/quantize/scale_fit.h), then the block's d (and dmin), then the
// group's integers once more against the rounded d. A value's weight is |x| + rms(group) / 4: large weights
// matter more for a product than their share of the squared error says, but none is for nothing.
//
// The bytes depend on the values alone. What lies beyond a format's range becomes its largest value, what is
// too small for half precision zero.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace deeprack {

// The block formats that Quantize writes: all of GGUF, not those of 128 elements.
bool CanQuantize(DType type);

// Quantises `elements` values, whole blocks of the type and all finite, into BytesOf(type, elements) bytes at
// `blocks`, at any address.
void Quantize(DType type, const float* values, int64_t elements, void* blocks);

}  // namespace deeprack
