// A tensor that lies in a mapped file.
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
  std::span<const std::byte> bytes;  // row-major, little-endian; valid as long as the file is open
  // The format aligns nothing: a float may lie at any address (block formats are read at any). Whoever reads
  // elements as such takes AlignedBytes.
  bool aligned() const {
    return IsBlockFormat(dtype) || reinterpret_cast<uintptr_t>(bytes.data()) % SizeOf(dtype) == 0;
  }
};

// The tensor's bytes at an address that its type may be read at: the mapping itself, or a copy where that is
// not aligned (files written by the usual writers never are). Keep it as long as data() is used.
class AlignedBytes {
 public:
  explicit AlignedBytes(const TensorView& tensor);
  const void* data() const { return copy_.empty() ? in_place_ : copy_.data(); }

 private:
  const void* in_place_;
  std::vector<std::byte> copy_;  // operator new aligns it for every type
};

}  // namespace deeprack::checkpoint
