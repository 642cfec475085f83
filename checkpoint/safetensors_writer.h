// Writes safetensors files and the index of several files. SafetensorsWriter writes a file from tensors in
// memory. To write a file in pieces, pass SafetensorsHeaderBytes to TensorFileWriter.
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

// All bytes before the first tensor's data, for tensors that follow each other without gaps. Names must be
// unique. If tensors with wider types come first, every tensor is aligned for its type.
std::string SafetensorsHeaderBytes(std::span<const SafetensorsRecord> tensors,
                                   const std::vector<std::pair<std::string, std::string>>& metadata);

// Collects the tensors of one file. Write puts tensors with wider types first, which aligns every tensor for
// its type; among tensors of one width the order of Add stays.
class SafetensorsWriter {
 public:
  // `bytes` must stay valid until Write has returned. It is a bug if a name is added twice or `bytes` does
  // not fit the shape.
  void Add(std::string name, DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes);
  void SetMetadata(std::string key, std::string value);

  // Writes to a temporary name and then renames to `path`, so a reader never sees a partly written file.
  // Unavailable: the system refused; the message has its reason.
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

// Writes `folder`/model.safetensors.index.json with the file name of each tensor and the bytes of all
// tensors.
absl::Status WriteSafetensorsIndex(const std::string& folder,
                                   const std::vector<std::pair<std::string, std::string>>& tensor_to_file,
                                   int64_t total_bytes);

}  // namespace deeprack::checkpoint
