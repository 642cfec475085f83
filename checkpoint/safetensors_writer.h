// Writing safetensors files and the index over several of them: whole from memory, or by a header for
// TensorFileWriter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/dtype.h"

namespace deeprack::checkpoint {

struct SafetensorsRecord {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

// The bytes of a tensor. A size that overflows is a bug.
int64_t BytesOf(const SafetensorsRecord& tensor);

// Everything up to the first tensor's data, for tensors that follow each other without gaps; names are
// unique. They are aligned for their types if wider types come first.
std::string SafetensorsHeaderBytes(std::span<const SafetensorsRecord> tensors,
                                   const std::vector<std::pair<std::string, std::string>>& metadata);

// Collects the tensors of one file. In the file wider types come first, else the order of Add stays: so every
// tensor is aligned for its type.
class SafetensorsWriter {
 public:
  // `bytes` is borrowed until Write has returned. A name twice or bytes that do not fit the shape is a bug.
  void Add(std::string name, DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes);
  void SetMetadata(std::string key, std::string value);

  // Writes `path` under a temporary name first, so that a reader never sees half a file. Unavailable with the
  // system's reason when that fails.
  absl::Status Write(const std::string& path) const;

 private:
  struct Tensor {
    SafetensorsRecord record;
    std::span<const std::byte> bytes;
  };

  std::vector<Tensor> tensors_;
  absl::flat_hash_set<std::string> names_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

// Writes `folder`/model.safetensors.index.json: the file name of each tensor, and the bytes of all of them.
absl::Status WriteSafetensorsIndex(const std::string& folder,
                                   const std::vector<std::pair<std::string, std::string>>& tensor_to_file,
                                   int64_t total_bytes);

}  // namespace deeprack::checkpoint
