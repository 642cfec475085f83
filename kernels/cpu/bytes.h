// Sixteen 32-bit lanes of bytes and of integers, for products with block formats (block_layout.h). All
// instruction sets give the same bits, since integers are exact.
#pragma once

#include "base/block_formats.h"
#include "kernels/cpu/simd.h"

#if DEEPRACK_SIMD_LEVEL >= 2
#include "kernels/cpu/bytes_avx512.h"  // IWYU pragma: export
#elif DEEPRACK_SIMD_LEVEL == 1
#include "kernels/cpu/bytes_avx2.h"  // IWYU pragma: export
#else
#include "kernels/cpu/bytes_generic.h"  // IWYU pragma: export
#endif
