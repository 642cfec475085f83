// The header of a GGUF file: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
// "GGUF", the version, how many tensors and how many metadata entries; the entries (key, type, value); one
// record for each tensor (name, dimensions, type, offset); then, from the next multiple of the alignment on,
// the tensors' data, each tensor at a multiple of the alignment. Everything is little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "model/gguf/gguf_value.h"

namespace deeprack::model {

// Limits of the format (lengths of names, dimensions) and of this reader.
inline constexpr int64_t kMaxGgufKeys = 1 << 16;
inline constexpr int64_t kMaxGgufTensors = 1 << 18;
inline constexpr int64_t kMaxGgufKeyBytes = 65535;
inline constexpr int64_t kMaxGgufNameBytes = 64;
inline constexpr uint32_t kMaxGgufDimensions = 4;
inline constexpr int kMaxGgufArrayDepth = 4;
inline constexpr int64_t kMaxGgufAlignment = 1 << 20;

struct GgufTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // rows before columns, as everywhere here: the file's dimensions backwards
  int64_t begin = 0;           // of the whole file
  int64_t bytes = 0;
};

struct GgufHeader {
  uint32_t version = 0;
  int64_t alignment = 0;
  absl::flat_hash_map<std::string, GgufValue> metadata;  // arrays of arrays are checked and left out
  std::vector<GgufTensor> tensors;                       // by their place in the file
  int64_t data_begin = 0;
};

// Checks everything that the format promises, against the bytes of the whole file: versions 2 and 3, every
// length and count, no key or name twice, types known, whole blocks in a row, tensors aligned, inside the
// file and apart from each other. Takes memory in proportion to the header's bytes, whatever its counts say.
// DataLoss on any fault; InvalidArgument for what is whole but not read here: another version or byte order,
// or a tensor type without a DType, by name. Messages begin with `path`. Values are views of `file`.
absl::StatusOr<GgufHeader> ParseGgufHeader(std::span<const std::byte> file, const std::string& path);

}  // namespace deeprack::model
