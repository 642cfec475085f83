// Block formats: a block is a fixed number of consecutive weights of one row, as integers of few bits, with
// the scales of those weights. A row of a matrix [rows, cols] is cols / BlockElements(type) blocks, one after
// the other. Rows follow each other without gaps.
//
// Source of the GGUF formats: https://github.com/ggml-org/llama.cpp (ggml-common.h) and the `gguf` Python
// package. The functions here give the values that the `gguf` package dequantises, bit for bit. Fields are
// little-endian. f16 is IEEE half precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/dtype.h"

namespace deeprack {

// IEEE half precision, storage only.
struct f16 {
  uint16_t bits = 0;
};

// 32 elements. value = d * (q - 8) for Q4_0, d * q + m for Q4_1, d * (q - 16) for Q5_0, d * q + m for Q5_1,
// d * q for Q8_0.
struct BlockQ4_0 {
  f16 d;
  uint8_t qs[16];  // element i: low nibble of qs[i] for i < 16, high nibble of qs[i - 16] above
};
struct BlockQ4_1 {
  f16 d, m;
  uint8_t qs[16];
};
struct BlockQ5_0 {
  f16 d;
  uint8_t qh[4];  // bit i: the fifth bit of element i
  uint8_t qs[16];
};
struct BlockQ5_1 {
  f16 d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};
struct BlockQ8_0 {
  f16 d;
  int8_t qs[32];
};

// 256 elements ("K-quants") in groups of 16 (Q2_K, Q3_K, Q6_K) or 32 elements (Q4_K, Q5_K). A group's scale
// is d times a small integer. A group's minimum (Q2_K, Q4_K, Q5_K) is dmin times a small integer.
struct BlockQ2K {
  uint8_t scales[16];  // low nibble: scale, high nibble: minimum
  uint8_t qs[64];
  f16 d, dmin;
};
struct BlockQ3K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];  // 16 integers of 6 bits, each stored plus 32
  f16 d;
};
struct BlockQ4K {
  f16 d, dmin;
  uint8_t scales[12];  // 8 scales and 8 minima of 6 bits
  uint8_t qs[128];
};
struct BlockQ5K {
  f16 d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
struct BlockQ6K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  f16 d;
};

// 128 elements of one row. value = (q - zero) * scale, in fp32. Checkpoints of AWQ, GPTQ and
// compressed-tensors store scales, zeros and integers in separate tensors; checkpoint/group_quantized makes
// blocks of them.
struct BlockInt4G128 {
  float scale;
  uint8_t zero;       // 0..16; a GPTQ checkpoint stores zero - 1
  uint8_t unused[3];  // zero
  uint8_t qs[64];     // element i: low nibble of qs[i] for i < 64, high nibble of qs[i - 64] above
};
// 128 elements of one row. value = q * scale.
struct BlockInt8G128 {
  float scale;
  int8_t qs[128];
};

constexpr bool IsBlockFormat(DType type) { return SizeOf(type) == 0; }

// Elements in a block. 1 for a type that is not a block format.
constexpr int64_t BlockElements(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ8_0:
      return 32;
    case DType::kQ2K:
    case DType::kQ3K:
    case DType::kQ4K:
    case DType::kQ5K:
    case DType::kQ6K:
      return 256;
    case DType::kInt4G128:
    case DType::kInt8G128:
      return 128;
    default:
      return 1;
  }
}

// Bytes of a block. For a type that is not a block format: bytes of an element.
constexpr int64_t BlockBytes(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return sizeof(BlockQ4_0);
    case DType::kQ4_1:
      return sizeof(BlockQ4_1);
    case DType::kQ5_0:
      return sizeof(BlockQ5_0);
    case DType::kQ5_1:
      return sizeof(BlockQ5_1);
    case DType::kQ8_0:
      return sizeof(BlockQ8_0);
    case DType::kQ2K:
      return sizeof(BlockQ2K);
    case DType::kQ3K:
      return sizeof(BlockQ3K);
    case DType::kQ4K:
      return sizeof(BlockQ4K);
    case DType::kQ5K:
      return sizeof(BlockQ5K);
    case DType::kQ6K:
      return sizeof(BlockQ6K);
    case DType::kInt4G128:
      return sizeof(BlockInt4G128);
    case DType::kInt8G128:
      return sizeof(BlockInt8G128);
    default:
      return static_cast<int64_t>(SizeOf(type));
  }
}

// Bytes of 16 blocks, one from each of 16 rows, after packing for the CPU's matrix products
// (kernels/api/packed_weight.h). Packing changes the order of the bits and leaves out INT4_G128's unused
// bytes.
constexpr int64_t PackedBlockBytes(DType type) {
  const int64_t unused = type == DType::kInt4G128 ? sizeof(BlockInt4G128::unused) : 0;
  return 16 * (BlockBytes(type) - unused);
}

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ2K) == 84 &&
              sizeof(BlockQ3K) == 110 && sizeof(BlockQ4K) == 144 && sizeof(BlockQ5K) == 176 &&
              sizeof(BlockQ6K) == 210 && sizeof(BlockInt4G128) == 72 && sizeof(BlockInt8G128) == 132);

// Returns f(p), where p is a null pointer to the block struct of `type`. `type` must be a block format.
template <class F>
auto DispatchBlock(DType type, F&& f) {
  switch (type) {
    case DType::kQ4_0:
      return f(static_cast<BlockQ4_0*>(nullptr));
    case DType::kQ4_1:
      return f(static_cast<BlockQ4_1*>(nullptr));
    case DType::kQ5_0:
      return f(static_cast<BlockQ5_0*>(nullptr));
    case DType::kQ5_1:
      return f(static_cast<BlockQ5_1*>(nullptr));
    case DType::kQ8_0:
      return f(static_cast<BlockQ8_0*>(nullptr));
    case DType::kQ2K:
      return f(static_cast<BlockQ2K*>(nullptr));
    case DType::kQ3K:
      return f(static_cast<BlockQ3K*>(nullptr));
    case DType::kQ4K:
      return f(static_cast<BlockQ4K*>(nullptr));
    case DType::kQ5K:
      return f(static_cast<BlockQ5K*>(nullptr));
    case DType::kQ6K:
      return f(static_cast<BlockQ6K*>(nullptr));
    case DType::kInt4G128:
      return f(static_cast<BlockInt4G128*>(nullptr));
    case DType::kInt8G128:
      return f(static_cast<BlockInt8G128*>(nullptr));
    default:
      DR_CHECK(IsBlockFormat(type));
      return f(static_cast<BlockQ8_0*>(nullptr));  // not reached
  }
}

// Bytes of `elements` consecutive elements of a row. `elements` must be a multiple of BlockElements(type).
constexpr int64_t BytesOf(DType type, int64_t elements) {
  return elements / BlockElements(type) * BlockBytes(type);
}

constexpr float ToFloat(f16 value) {
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t exponent = (value.bits >> 10) & 0x1fu;
  const uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0) {  // subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t widened = exponent == 0x1f ? 0xffu : exponent + 112;
  return std::bit_cast<float>(sign | (widened << 23) | (mantissa << 13));
}

// Rounds to nearest, ties to even. A magnitude beyond the largest half becomes infinity. NaN stays NaN.
f16 ToF16(float value);

// Q4_K and Q5_K pack 8 scales and 8 minima of 6 bits into 12 bytes.
// Groups 0..3: the scale is the low 6 bits of bytes 0..3, the minimum the low 6 bits of bytes 4..7.
// Groups 4..7: the scale's low 4 bits are the low nibbles of bytes 8..11, its upper 2 bits the upper 2 bits
// of bytes 0..3. The minimum's low 4 bits are the high nibbles of bytes 8..11, its upper 2 bits the upper 2
// bits of bytes 4..7.
struct ScaleAndMin {
  uint8_t scale;
  uint8_t min;
};
constexpr ScaleAndMin GroupScaleAndMin(const uint8_t (&scales)[12], int group) {
  if (group < 4) {
    return {static_cast<uint8_t>(scales[group] & 63), static_cast<uint8_t>(scales[group + 4] & 63)};
  }
  const int low = scales[group + 4];
  return {static_cast<uint8_t>((low & 15) | (scales[group - 4] >> 6 << 4)),
          static_cast<uint8_t>((low >> 4) | (scales[group] >> 6 << 4))};
}

// Q3_K's 16 scales, -32..31, each stored plus 32 in 6 bits. The low 4 bits of groups 0..7 are the low nibbles
// of bytes 0..7; the low 4 bits of groups 8..15 are the high nibbles of bytes 0..7. The upper 2 bits of group
// g are bits g / 4 * 2 and g / 4 * 2 + 1 of byte 8 + g % 4.
constexpr int GroupScale(const BlockQ3K& block, int group) {
  const int low = block.scales[group % 8] >> (group / 8 * 4) & 15;
  const int high = block.scales[8 + group % 4] >> (group / 4 * 2) & 3;
  return (low | (high << 4)) - 32;
}

// Expands `elements` elements at `blocks` to fp32 at `out`. `elements` must be a multiple of
// BlockElements(type). `blocks` may have any alignment.
void Dequantize(DType type, const void* blocks, int64_t elements, float* out);

// True when all `elements` elements at `blocks` are finite. Only the blocks' scales and minima decide that.
bool BlocksAreFinite(DType type, const void* blocks, int64_t elements);

}  // namespace deeprack
