// The header of a safetensors file. Source: https://github.com/huggingface/safetensors#format
//
// A file is: 8 bytes with the header's length n, little-endian; n bytes of JSON that begin with "{" and may
// end with spaces; then the data. Every byte of the data belongs to exactly one tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"

namespace deeprack::checkpoint {

// Limits of the format (kMaxHeaderBytes) and of this reader (the others).
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr size_t kMaxTensorsPerFile = 1 << 18;
inline constexpr size_t kMaxDimensions = 8;

struct HeaderEntry {
  std::string name;
  DType dtype = DType::kF32;
  // Not empty: the file's dtype, which the format has and which is no DType. `dtype` is not set.
  std::string unread_type = {};
  std::vector<int64_t> shape = {};
  int64_t begin = 0;  // bytes from the beginning of the data
  int64_t end = 0;    // bytes from the beginning of the data, one past the last byte
};

struct SafetensorsHeader {
  std::vector<HeaderEntry> tensors;  // in the order of their data
  absl::flat_hash_map<std::string, std::string> metadata;
  int64_t data_begin = 0;  // bytes from the beginning of the file
};

// Parses the header and checks it against the bytes of the whole file: length, UTF-8, JSON, no key twice,
// dtypes of the format, shape times element size equal to the tensor's bytes (of DTypes), no overlap, no gap,
// nothing past the end. DataLoss for any fault: the message has the file (`path`), the tensor, what was found
// and what was expected.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file,
                                                         const std::string& path);

}  // namespace deeprack::checkpoint
