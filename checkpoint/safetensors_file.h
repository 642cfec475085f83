// One safetensors file, memory-mapped.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/mapped_file.h"
#include "checkpoint/tensor_view.h"

namespace deeprack::checkpoint {

class SafetensorsFile {
 public:
  // Maps the file and checks its header. Reads no tensor data. Errors: those of MappedFile::Open; DataLoss (a
  // damaged file).
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  // nullptr: no such tensor, or one of an unread type. The result is valid while this object lives.
  const TensorView* Find(const std::string& name) const;
  std::string UnreadType(const std::string& name) const;            // CheckpointReader::UnreadType
  const std::vector<std::string>& names() const { return names_; }  // in the order of their data
  const absl::flat_hash_map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

  void Prefetch(const TensorView& tensor) const { file_.Prefetch(tensor.bytes); }

 private:
  SafetensorsFile(MappedFile file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  MappedFile file_;
  std::string path_;
  std::vector<std::string> names_;
  absl::flat_hash_map<std::string, TensorView> tensors_;
  absl::flat_hash_map<std::string, std::string> unread_;  // tensor -> its type, which is no DType
  absl::flat_hash_map<std::string, std::string> metadata_;
};

}  // namespace deeprack::checkpoint
