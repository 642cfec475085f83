#include "kernels/cuda/sm90/isa/tensor_map.h"

namespace deeprack::kernels::sm90 {

const char* WhatIsWrong(const TensorMapSpec& spec) {
  const auto element = static_cast<int64_t>(SizeOf(spec.type));
  if (spec.type != DType::kF8E4M3 && spec.type != DType::kU8 && spec.type != DType::kBF16 &&
      spec.type != DType::kF32) {
    return "the element type is none that tensor maps are made for";
  }
  if (spec.base == nullptr || reinterpret_cast<uintptr_t>(spec.base) % 16 != 0)
    return "the base is not a multiple of 16";
  for (const int64_t size : spec.sizes) {
    if (size < 1 || size > int64_t{1} << 32) return "a dimension is not within 1 to 2^32";
  }
  for (const int64_t stride : spec.stride_bytes) {
    if (stride < 16 || stride % 16 != 0 || stride >= int64_t{1} << 40)
      return "a stride is no multiple of 16 below 2^40";
  }
  for (const int32_t box : spec.box) {
    if (box < 1 || box > 256) return "a box is not within 1 to 256";
  }
  const int64_t row = spec.box[0] * element;
  if (row % 16 != 0) return "a row of the box is no multiple of 16 bytes";
  if (spec.swizzle && row > 128) return "a row of a swizzled box is longer than 128 bytes";
  return nullptr;
}

}  // namespace deeprack::kernels::sm90
