// A view of a tensor in a mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/block_formats.h"

namespace deeprack::checkpoint {

struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;        // [] is a scalar
  std::span<const std::byte> bytes;  // row-major, little-endian; valid while the file is mapped
  // True when `bytes` may be read as elements of `dtype`. Safetensors files do not align tensors: a float may
  // be at any address. AlignedBytes gives an aligned copy. Block formats may be read at any address.
  bool aligned() const {
    return IsBlockFormat(dtype) || reinterpret_cast<uintptr_t>(bytes.data()) % SizeOf(dtype) == 0;
  }
};

// The tensor's bytes at an address aligned for its type: those of the mapping, or a copy if the mapping is
// not aligned (which files of common writers always are). Must outlive the use of data().
class AlignedBytes {
 public:
  explicit AlignedBytes(const TensorView& tensor);
  const void* data() const { return copy_.empty() ? in_place_ : copy_.data(); }

 private:
  const void* in_place_;
  std::vector<std::byte> copy_;  // operator new aligns it for every type
};

}  // namespace deeprack::checkpoint
