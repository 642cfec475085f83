// Element types of tensors, and the conversions between them and float.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace deeprack {

// kF32 to kU8 have whole bytes per element. The others are block formats (base/block_formats.h): a row of a
// matrix is a row of blocks, and a block holds several elements with their scales.
// clang-format off
enum class DType : uint8_t {
  kF32, kBF16, kF16, kF8E4M3, kI64, kI32, kI8, kU8,
  kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0,  // GGUF, 32 elements a block
  kQ2K, kQ3K, kQ4K, kQ5K, kQ6K,       // GGUF, 256 elements a block
  kInt4G128, kInt8G128,               // AWQ, GPTQ, compressed-tensors: 128 elements a block
};
// clang-format on

// Bytes per element. 0 for a block format: BlockBytes gives the size of its blocks.
constexpr size_t SizeOf(DType type) {
  switch (type) {
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
      return 2;
    case DType::kF8E4M3:
    case DType::kI8:
    case DType::kU8:
      return 1;
    default:
      return 0;
  }
}

// The type's name in safetensors files ("F32", "BF16", "F8_E4M3", ...) or in GGUF ("Q4_K", ...); "INT4_G128"
// and "INT8_G128" for kInt4G128 and kInt8G128.
std::string_view Name(DType type);
// The type with this name in a safetensors file. nullopt for a name of a block format and for an unknown
// name.
std::optional<DType> DTypeFromName(std::string_view safetensors_name);

// bfloat16: the upper half of a float. Storage only; arithmetic is done in float.
struct bf16 {
  uint16_t bits = 0;
};

// OCP FP8 E4M3 ("fn": no infinities; 0x7f and 0xff are NaN). Most of R1's weights have this type.
struct fp8_e4m3 {
  uint8_t bits = 0;
};

constexpr float ToFloat(float value) { return value; }

constexpr float ToFloat(bf16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }

constexpr float ToFloat(fp8_e4m3 value) {
  const uint32_t magnitude = value.bits & 0x7fu;
  const uint32_t sign = uint32_t{value.bits & 0x80u} << 24;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  const uint32_t exponent = magnitude >> 3;
  const uint32_t mantissa = magnitude & 7u;
  if (exponent == 0) {  // subnormal: mantissa * 2^-9
    const float value_abs = static_cast<float>(mantissa) * 0x1p-9f;
    return sign ? -value_abs : value_abs;
  }
  return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
}

// Rounds to nearest, ties to even. NaN stays NaN.
constexpr bf16 ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return bf16{static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// `value` as a T, which is float or bf16.
template <class T>
constexpr T FromFloat(float value) {
  if constexpr (sizeof(T) == sizeof(bf16)) {
    return ToBF16(value);
  } else {
    return value;
  }
}

// Returns f(v), where v has the C++ type of `type`: bf16 for kBF16, float for kF32. Other types are a bug.
template <class F>
auto DispatchActivation(DType type, F&& f) {
  return type == DType::kBF16 ? f(bf16{}) : f(float{});
}

}  // namespace deeprack
