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
  // Maps the file and checks its header; tensor data is not touched. Errors: MappedFile::Open's, and DataLoss
  // for a damaged file.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  // nullptr: no such tensor. Valid as long as this file is.
  const TensorView* Find(const std::string& name) const;
  const std::vector<std::string>& names() const { return names_; }  // by their place in the file
  const absl::flat_hash_map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

  void Prefetch(const TensorView& tensor) const { file_.Prefetch(tensor.bytes); }

 private:
  SafetensorsFile(MappedFile file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  MappedFile file_;
  std::string path_;
  std::vector<std::string> names_;
  absl::flat_hash_map<std::string, TensorView> tensors_;
  absl::flat_hash_map<std::string, std::string> metadata_;
};

}  // namespace deeprack::checkpoint
