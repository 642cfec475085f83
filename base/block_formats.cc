#include "base/block_formats.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace deeprack {
namespace {

// Expand: one overload for each format; writes the BlockElements values of a block. The order of roundings is
// that of the `gguf` package: the product of the block's and the group's scale, then times q, then minus the
// minimum. The compiler must not contract these operations to fused multiply-adds, which skip a rounding
// (cmake/Toolchain.cmake turns contraction off).

void Expand(const BlockQ4_0& block, float* out) {
  const float d = ToFloat(block.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

void Expand(const BlockQ4_1& block, float* out) {
  const float d = ToFloat(block.d);
  const float m = ToFloat(block.m);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block.qs[i] >> 4) + m;
  }
}

// Writes the fifth bit of each of 32 elements to its own byte, as 0 or 16.
void SpreadFifthBits(const uint8_t* qh, uint8_t* bits) {
  for (int i = 0; i < 32; ++i) bits[i] = static_cast<uint8_t>((qh[i / 8] >> (i % 8) & 1) << 4);
}

void Expand(const BlockQ5_0& block, float* out) {
  const float d = ToFloat(block.d);
  uint8_t high[32];
  SpreadFifthBits(block.qh, high);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(((block.qs[i] & 15) | high[i]) - 16);
    out[i + 16] = d * static_cast<float>(((block.qs[i] >> 4) | high[i + 16]) - 16);
  }
}

void Expand(const BlockQ5_1& block, float* out) {
  const float d = ToFloat(block.d);
  const float m = ToFloat(block.m);
  uint8_t high[32];
  SpreadFifthBits(block.qh, high);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) | high[i]) + m;
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) | high[i + 16]) + m;
  }
}

void Expand(const BlockQ8_0& block, float* out) {
  const float d = ToFloat(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

// Q2_K and Q3_K have halves of 128 elements. Byte 32 * half + i of qs holds elements i, 32 + i, 64 + i and 96
// + i of the half, two bits each, the first in the lowest bits.
void Expand(const BlockQ2K& block, float* out) {
  const float d = ToFloat(block.d);
  const float dmin = ToFloat(block.dmin);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block.scales[group] & 15);
    const float minimum = dmin * static_cast<float>(block.scales[group] >> 4);
    const uint8_t* qs = block.qs + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) {
      out[group * 16 + i] = scale * static_cast<float>(qs[i] >> shift & 3) - minimum;
    }
  }
}

void Expand(const BlockQ3K& block, float* out) {
  const float d = ToFloat(block.d);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(GroupScale(block, group));
    const uint8_t* qs = block.qs + group / 8 * 32 + group % 2 * 16;
    const uint8_t* hmask = block.hmask + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    const int high = group / 2;
    for (int i = 0; i < 16; ++i) {
      const int q = (qs[i] >> shift & 3) + ((hmask[i] >> high & 1) << 2) - 4;
      out[group * 16 + i] = scale * static_cast<float>(q);
    }
  }
}

// Expands 8 groups of 32 values with 6-bit scales and minima. A value is its 4 bits of qs and
// high_bits(group, i).
template <class Block, class HighBits>
void ExpandGroupsWithMinima(const Block& block, const HighBits& high_bits, float* out) {
  const float d = ToFloat(block.d);
  const float dmin = ToFloat(block.dmin);
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin integers = GroupScaleAndMin(block.scales, group);
    const float scale = d * static_cast<float>(integers.scale);
    const float minimum = dmin * static_cast<float>(integers.min);
    const uint8_t* qs = block.qs + group / 2 * 32;
    const int shift = group % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int q = (qs[i] >> shift & 15) | high_bits(group, i);
      out[group * 32 + i] = scale * static_cast<float>(q) - minimum;
    }
  }
}

void Expand(const BlockQ4K& block, float* out) {
  ExpandGroupsWithMinima(
      block, [](int, int) { return 0; }, out);
}

void Expand(const BlockQ5K& block, float* out) {
  ExpandGroupsWithMinima(
      block, [&](int group, int i) { return (block.qh[i] >> group & 1) << 4; }, out);
}

// Q6_K has halves of 128 elements, with 64 bytes of ql and 32 of qh for each half. Element i of quarter k (32
// elements) is nibble k / 2 of ql[k % 2 * 32 + i] and two bits, from bit 2 * k on, of qh[i].
void Expand(const BlockQ6K& block, float* out) {
  const float d = ToFloat(block.d);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block.scales[group]);
    const int half = group / 8;
    const int quarter = group % 8 / 2;
    const uint8_t* ql = block.ql + half * 64 + quarter % 2 * 32 + group % 2 * 16;
    const uint8_t* qh = block.qh + half * 32 + group % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int q = ((ql[i] >> quarter / 2 * 4 & 15) | (qh[i] >> quarter * 2 & 3) << 4) - 32;
      out[group * 16 + i] = scale * static_cast<float>(q);
    }
  }
}

void Expand(const BlockInt4G128& block, float* out) {
  const int zero = block.zero;
  for (int i = 0; i < 64; ++i) {
    out[i] = static_cast<float>((block.qs[i] & 15) - zero) * block.scale;
    out[i + 64] = static_cast<float>((block.qs[i] >> 4) - zero) * block.scale;
  }
}

void Expand(const BlockInt8G128& block, float* out) {
  for (int i = 0; i < 128; ++i) out[i] = static_cast<float>(block.qs[i]) * block.scale;
}

// An exponent of all ones means infinity or NaN.
bool Finite(f16 value) { return (value.bits & 0x7c00) != 0x7c00; }

bool FiniteBlock(const BlockQ4_0& block) { return Finite(block.d); }
bool FiniteBlock(const BlockQ4_1& block) { return Finite(block.d) && Finite(block.m); }
bool FiniteBlock(const BlockQ5_0& block) { return Finite(block.d); }
bool FiniteBlock(const BlockQ5_1& block) { return Finite(block.d) && Finite(block.m); }
bool FiniteBlock(const BlockQ8_0& block) { return Finite(block.d); }
bool FiniteBlock(const BlockQ2K& block) { return Finite(block.d) && Finite(block.dmin); }
bool FiniteBlock(const BlockQ3K& block) { return Finite(block.d); }
bool FiniteBlock(const BlockQ4K& block) { return Finite(block.d) && Finite(block.dmin); }
bool FiniteBlock(const BlockQ5K& block) { return Finite(block.d) && Finite(block.dmin); }
bool FiniteBlock(const BlockQ6K& block) { return Finite(block.d); }
// A finite scale near fp32's largest number overflows when it is multiplied by q - zero.
bool FiniteBlock(const BlockInt4G128& block) { return std::isfinite(block.scale * 16.0f); }
bool FiniteBlock(const BlockInt8G128& block) { return std::isfinite(block.scale * 128.0f); }

template <class Block>
void ExpandAll(DType type, const void* blocks, int64_t elements, float* out) {
  const int64_t count = elements / BlockElements(type);
  const auto* from = static_cast<const std::byte*>(blocks);
  for (int64_t i = 0; i < count; ++i) {
    Block block;
    std::memcpy(&block, from + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
    Expand(block, out + i * BlockElements(type));
  }
}

template <class Block>
bool FiniteAll(const void* blocks, int64_t count) {
  const auto* from = static_cast<const std::byte*>(blocks);
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    Block block;
    std::memcpy(&block, from + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
    finite &= FiniteBlock(block);
  }
  return finite;
}

}  // namespace

f16 ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);  // NaN, made quiet
  } else if (magnitude >= 0x47800000u) {
    half = 0x7c00u;  // 2^16 and more; the carry below handles smaller values that round up to 2^16
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14: subnormal halves are 2^-24 apart, as floats in [0.5, 1) are, so adding 0.5f rounds.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    magnitude += 0xfffu + ((magnitude >> 13) & 1u);
    half = (magnitude - 0x38000000u) >> 13;
  }
  return f16{static_cast<uint16_t>(sign | half)};
}

void Dequantize(DType type, const void* blocks, int64_t elements, float* out) {
  DR_CHECK(elements % BlockElements(type) == 0);
  DispatchBlock(type, [&]<class Block>(Block*) { ExpandAll<Block>(type, blocks, elements, out); });
}

bool BlocksAreFinite(DType type, const void* blocks, int64_t elements) {
  DR_CHECK(elements % BlockElements(type) == 0);
  return DispatchBlock(
      type, [&]<class Block>(Block*) { return FiniteAll<Block>(blocks, elements / BlockElements(type)); });
}

}  // namespace deeprack
