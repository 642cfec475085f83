// Block formats: weights of few bits, stored in blocks that carry their own scales. A row of a matrix is
// cols / BlockElements(type) blocks, one after the other; rows follow each other without gaps.
//
// GGUF's formats are those of https://github.com/ggml-org/llama.cpp (ggml-common.h) and of the `gguf` Python
// package, whose dequantised values these functions give bit for bit. Fields are little-endian; f16 is IEEE
// half.
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

// 32 elements; value = d * (q - 8), d * q + m, d * (q - 16), d * q + m, d * q.
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

// 256 elements ("K-quants"). Scales of 16 (Q2_K, Q3_K, Q6_K) or 32 elements (Q4_K, Q5_K) are small integers
// times d.
struct BlockQ2K {
  uint8_t scales[16];  // low nibble: scale, high nibble: minimum
  uint8_t qs[64];
  f16 d, dmin;
};
struct BlockQ3K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];  // 16 of 6 bits, minus 32
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

// 128 elements of one row: what AWQ, GPTQ and compressed-tensors store transposed and apart, brought together
// by whoever reads them. value = (q - zero) * scale, in fp32.
struct BlockInt4G128 {
  float scale;
  uint8_t zero;       // 0..16 (GPTQ stores zero - 1)
  uint8_t unused[3];  // zero
  uint8_t qs[64];     // element i: low nibble of qs[i] for i < 64, high nibble of qs[i - 64] above
};
// value = q * scale.
struct BlockInt8G128 {
  float scale;
  int8_t qs[128];
};

constexpr bool IsBlockFormat(DType type) { return SizeOf(type) == 0; }

// Elements in a block; 1 for types that are no block format.
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

// Bytes of a block; of an element for types that are no block format.
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

// Bytes that one block of each of 16 rows takes when packed for the CPU's matrix products
// (kernels/api/packed_weight.h): the same bits in another order, without INT4_G128's unused bytes.
constexpr int64_t PackedBlockBytes(DType type) {
  const int64_t unused = type == DType::kInt4G128 ? sizeof(BlockInt4G128::unused) : 0;
  return 16 * (BlockBytes(type) - unused);
}

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ2K) == 84 &&
              sizeof(BlockQ3K) == 110 && sizeof(BlockQ4K) == 144 && sizeof(BlockQ5K) == 176 &&
              sizeof(BlockQ6K) == 210 && sizeof(BlockInt4G128) == 72 && sizeof(BlockInt8G128) == 132);

// Calls f with a null pointer to the struct of a block format.
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

// Bytes of `elements` consecutive elements of a row, which must be whole blocks.
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

// Rounds to nearest, ties to even; beyond the largest half: infinity.
f16 ToF16(float value);

// Q4_K and Q5_K pack 8 scales and 8 minima of 6 bits into 12 bytes: of groups 0..3 the scales in the low 6
// bits of bytes 0..3 and the minima in those of bytes 4..7; of groups 4..7 the low 4 bits in bytes 8..11
// (scale below, minimum above) and the upper 2 in the upper 2 bits of bytes 0..3 and 4..7.
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

// Q3_K's 16 scales, -32..31: low 4 bits of groups 0..7 in the low nibbles of bytes 0..7, of 8..15 in the high
// ones; the upper 2 bits of group g at bits g / 4 * 2 of byte 8 + g % 4.
constexpr int GroupScale(const BlockQ3K& block, int group) {
  const int low = block.scales[group % 8] >> (group / 8 * 4) & 15;
  const int high = block.scales[8 + group % 4] >> (group / 4 * 2) & 3;
  return (low | (high << 4)) - 32;
}

// `elements` elements (whole blocks) of a block format as fp32. `blocks` may lie at any address.
void Dequantize(DType type, const void* blocks, int64_t elements, float* out);

// Whether all these elements are finite, which is a matter of the blocks' scales and minima alone.
bool BlocksAreFinite(DType type, const void* blocks, int64_t elements);

}  // namespace deeprack
