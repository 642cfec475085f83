// A GGUF model on disk: one file, or the files of a split.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/mapped_file.h"
#include "model/gguf/gguf_header.h"

namespace deeprack::model {

// Whether a model's path is to be read as a GGUF: a name that ends in .gguf, unless it is a folder's.
bool IsGgufPath(const std::string& path);

// The model's name as a path says it: without folder, ".gguf" and the number of a split.
std::string GgufModelName(const std::string& path);

class GgufModel {
 public:
  // Maps the file and, where split.count says so, its fellows NAME-0000N-of-0000M.gguf, and checks all
  // headers; tensor data is not touched. `path` is the first file of a split. Errors: MappedFile::Open's,
  // ParseGgufHeader's, InvalidArgument (another file of a split than its first), DataLoss (a file of the
  // split is missing or of another, a tensor in two of them).
  static absl::StatusOr<GgufModel> Open(const std::string& path);

  // Of the first file, which carries the model's; nullptr: no such key.
  const GgufValue* Find(const std::string& key) const;
  const absl::flat_hash_map<std::string, GgufValue>& metadata() const { return metadata_; }

  // Of all files, by file and place; nullptr: no such tensor.
  const GgufTensor* FindTensor(const std::string& name) const;
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  std::span<const std::byte> BytesOfTensor(const GgufTensor& tensor) const;
  const std::string& FileOf(const GgufTensor& tensor) const;

  // Asks the system to start reading `part` of the tensor's bytes; returns at once.
  void Prefetch(const GgufTensor& tensor, std::span<const std::byte> part) const;

  const std::string& path() const { return paths_[0]; }

 private:
  GgufModel() = default;
  absl::Status Add(const std::string& path, MappedFile file, GgufHeader header);
  size_t FileIndex(const GgufTensor& tensor) const;

  std::vector<std::string> paths_;
  std::vector<MappedFile> files_;
  std::vector<size_t> first_tensor_;  // of each file, in tensors_
  absl::flat_hash_map<std::string, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  absl::flat_hash_map<std::string, size_t> index_;  // tensor -> position in tensors_
};

}  // namespace deeprack::model
