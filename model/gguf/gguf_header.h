// The header of a GGUF file. Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
// A file is: "GGUF"; the version; the numbers of tensors and of metadata entries; the entries (key, type,
// value); one record for each tensor (name, dimensions, type, offset); then, from the next multiple of the
// alignment on, the tensors' data, where each tensor begins at a multiple of the alignment. Everything is
// little-endian.
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

// Limits of the format (bytes of a key and of a name, dimensions) and of this reader (the others).
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
  // Not empty: the name of the file's type, which is no DType. `dtype` is not set, and `bytes` reach to the
  // next tensor.
  std::string unread_type = {};
  std::vector<int64_t> shape = {};  // [rows, cols]: the file's dimensions in reverse order
  int64_t begin = 0;                // bytes from the beginning of the file
  int64_t bytes = 0;
};

struct GgufHeader {
  uint32_t version = 0;
  int64_t alignment = 0;
  absl::flat_hash_map<std::string, GgufValue> metadata;  // without arrays of arrays, which are checked only
  std::vector<GgufTensor> tensors;                       // in the order of their data in the file
  int64_t data_begin = 0;                                // bytes from the beginning of the file
};

// Parses the header and checks it against the bytes of the whole file: the version is 2 or 3; every length
// and count fits; no key and no name occurs twice; types are known; a row is whole blocks; every tensor is
// aligned, inside the file and apart from the others. Takes memory in proportion to the header's bytes, even
// when its counts are larger. DataLoss: a fault in the file. InvalidArgument: a whole file that is not read
// here (another version or byte order). Messages begin with `path`. The values are views of `file`, which
// must outlive them.
absl::StatusOr<GgufHeader> ParseGgufHeader(std::span<const std::byte> file, const std::string& path);

}  // namespace deeprack::model
