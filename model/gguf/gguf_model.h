// A GGUF model on disk: one file, or several files that a model was split into.
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

// True when `path` ends in .gguf and is not a folder.
bool IsGgufPath(const std::string& path);

// The model's name from a path: without the folder, without ".gguf" and without a split's numbers.
std::string GgufModelName(const std::string& path);

class GgufModel {
 public:
  // Maps the file and, if split.count is above 1, the other files NAME-0000N-of-0000M.gguf. Checks all
  // headers and reads no tensor data. `path` must be the first file of a split. Errors: those of
  // MappedFile::Open and ParseGgufHeader; InvalidArgument (`path` is not the first file of its split);
  // DataLoss (a file of the split is missing or belongs to another split, or two files hold the same tensor).
  static absl::StatusOr<GgufModel> Open(const std::string& path);

  // The value of a metadata key of the first file, which holds the model's metadata. nullptr: no such key.
  const GgufValue* Find(const std::string& key) const;
  const absl::flat_hash_map<std::string, GgufValue>& metadata() const { return metadata_; }

  // Tensors of all files, ordered by file and by place in the file. nullptr: no such tensor.
  const GgufTensor* FindTensor(const std::string& name) const;
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  std::span<const std::byte> BytesOfTensor(const GgufTensor& tensor) const;
  const std::string& FileOf(const GgufTensor& tensor) const;

  // Asks the system to start reading `part` of the tensor's bytes. Returns at once.
  void Prefetch(const GgufTensor& tensor, std::span<const std::byte> part) const;

  const std::string& path() const { return paths_[0]; }

 private:
  GgufModel() = default;
  absl::Status Add(const std::string& path, MappedFile file, GgufHeader header);
  size_t FileIndex(const GgufTensor& tensor) const;

  std::vector<std::string> paths_;
  std::vector<MappedFile> files_;
  std::vector<size_t> first_tensor_;  // [files]: position in tensors_ of each file's first tensor
  absl::flat_hash_map<std::string, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  absl::flat_hash_map<std::string, size_t> index_;  // tensor -> position in tensors_
};

}  // namespace deeprack::model
