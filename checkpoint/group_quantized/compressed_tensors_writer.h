// Writing a model folder whose linear weights are integers in groups, as compressed-tensors stores them
// (model/config/group_quantization.h: pack-quantized with bf16 scales, int-quantized).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/tensor_file_writer.h"

namespace deeprack::checkpoint {

struct FolderTensor {
  std::string name;  // in the registry: "model.layers.0.mlp.up_proj.weight"
  // kInt4G128 (columns: a multiple of 128), kInt8G128 (any): a matrix to be quantised. F32, BF16, F16: as it
  // is.
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

struct CompressedTensorsOptions {
  bool symmetric = true;                  // int4: without stored zeros
  int64_t file_bytes = int64_t{4} << 30;  // a file ends with the tensor that reaches this
};

// The tensors that a weight becomes.
std::vector<SafetensorsRecord> StoredTensors(const FolderTensor& tensor, bool symmetric);
// Their bytes.
int64_t StoredBytes(const FolderTensor& tensor, bool symmetric);

class CompressedTensorsWriter {
 public:
  // Makes the folder, if it is not there, and its files under temporary names. All quantised tensors are of
  // one type. FailedPrecondition: the folder holds something already. Unavailable: the system refused, with
  // its reason, or there is not as much room as the files need.
  static absl::StatusOr<std::unique_ptr<CompressedTensorsWriter>> Create(
      const std::string& folder, std::vector<FolderTensor> tensors, const CompressedTensorsOptions& options);

  // Rows are quantised so many at a time.
  static constexpr int64_t kRowStep = 8;

  // Rows [row_begin, row_begin + rows) of tensors[index], all finite, quantised or rounded to the tensor's
  // type; a vector is one row. row_begin is a multiple of kRowStep, and rows too unless they are the last.
  // Thread-safe for different rows.
  absl::Status WriteRows(size_t index, int64_t row_begin, int64_t rows, const float* values);
  // The same rows of a tensor that is not quantised, as they are to be stored.
  absl::Status WriteStored(size_t index, int64_t row_begin, std::span<const std::byte> bytes);

  // Once every row has been written (else a bug): the files under their names, the index, and config.json:
  // the model's own (`config_json`, an object) with this quantization_config instead of its own, whose
  // `ignore` holds `unquantised` modules. InvalidArgument: no object. Unavailable: the disk.
  absl::Status Commit(const std::string& config_json, const std::vector<std::string>& unquantised);

 private:
  CompressedTensorsWriter(std::string folder, std::vector<FolderTensor> tensors, bool symmetric)
      : folder_(std::move(folder)), tensors_(std::move(tensors)), symmetric_(symmetric) {}
  absl::Status CreateFiles(int64_t file_bytes);
  absl::Status WritePart(size_t index, size_t part, int64_t offset, std::span<const std::byte> bytes);
  absl::Status WriteInt4Rows(size_t index, int64_t row_begin, int64_t rows, const float* values);
  absl::Status WriteInt8Rows(size_t index, int64_t row_begin, int64_t rows, const float* values);

  struct Part {
    size_t file = 0;
    size_t place = 0;  // in the file
  };

  const std::string folder_;
  const std::vector<FolderTensor> tensors_;
  const bool symmetric_;
  std::vector<std::vector<Part>> parts_;  // of each tensor, in the order of StoredTensors
  std::vector<std::unique_ptr<TensorFileWriter>> files_;
  std::vector<std::pair<std::string, std::string>> index_;  // stored tensor -> file name
  int64_t stored_bytes_ = 0;
};

}  // namespace deeprack::checkpoint
