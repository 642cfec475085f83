// The header of a safetensors file: https://github.com/huggingface/safetensors#format
//
// 8 bytes: length n of the header, little-endian; n bytes of JSON, beginning with "{", maybe padded with
// spaces; then the data, which the tensors cover entirely, each byte exactly once.
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

// Limits of the format (the header's length) and of this reader.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr size_t kMaxTensorsPerFile = 1 << 18;
inline constexpr size_t kMaxDimensions = 8;

struct HeaderEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // bytes from the start of the data
  int64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<HeaderEntry> tensors;  // by their place in the file
  absl::flat_hash_map<std::string, std::string> metadata;
  int64_t data_begin = 0;  // of the file
};

// Checks everything that the format promises, against the bytes of the whole file: length, UTF-8, JSON, no
// key twice, dtype known, shape x size = length, no overlap, no hole, nothing past the end. DataLoss on any
// fault, with the file's name (`path`), the tensor's, what was found and what was expected.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> file,
                                                         const std::string& path);

}  // namespace deeprack::checkpoint
