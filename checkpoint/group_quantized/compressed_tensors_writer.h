// Writes a model folder whose linear weights are integers in groups, as compressed-tensors stores them:
// pack-quantized with bf16 scales, or int-quantized (model/config/group_quantization.h).
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
  // The type after writing. kInt4G128 (columns: a multiple of 128) and kInt8G128 (any columns): a matrix that
  // is quantised. F32, BF16, F16: a tensor that is not quantised.
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

struct CompressedTensorsOptions {
  bool symmetric = true;                  // int4: true stores no zeros
  int64_t file_bytes = int64_t{4} << 30;  // a file ends after the tensor that brings it to this size
};

// The tensors that `tensor` is stored as.
std::vector<SafetensorsRecord> StoredTensors(const FolderTensor& tensor, bool symmetric);
// The bytes of StoredTensors.
int64_t StoredBytes(const FolderTensor& tensor, bool symmetric);

class CompressedTensorsWriter {
 public:
  // Creates the folder if it does not exist, and its files under temporary names. All quantised tensors must
  // have one type. FailedPrecondition: the folder is not empty. Unavailable: the system refused (the message
  // has its reason), or the file system has less room than the files need.
  static absl::StatusOr<std::unique_ptr<CompressedTensorsWriter>> Create(
      const std::string& folder, std::vector<FolderTensor> tensors, const CompressedTensorsOptions& options);

  // WriteRows takes multiples of this number of rows.
  static constexpr int64_t kRowStep = 8;

  // Quantises or rounds rows [row_begin, row_begin + rows) of tensors[index] to the tensor's type and writes
  // them. `values` [rows, cols] must be finite. A vector is one row. row_begin must be a multiple of
  // kRowStep; rows too, except for the last rows. Several threads may write different rows.
  absl::Status WriteRows(size_t index, int64_t row_begin, int64_t rows, const float* values);
  // Writes rows of a tensor that is not quantised, from `row_begin` on. `bytes` is stored unchanged.
  absl::Status WriteStored(size_t index, int64_t row_begin, std::span<const std::byte> bytes);

  // Renames the files to their final names and writes the index and config.json. config.json is
  // `config_json`, a JSON object, with a new quantization_config whose `ignore` lists the `unquantised`
  // modules. It is a bug if a row has not been written. InvalidArgument: `config_json` is not a JSON object.
  // Unavailable: the disk refused.
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
    size_t place = 0;  // number of the place in files_[file]
  };

  const std::string folder_;
  const std::vector<FolderTensor> tensors_;
  const bool symmetric_;
  std::vector<std::vector<Part>> parts_;  // [tensors]: parts in the order of StoredTensors
  std::vector<std::unique_ptr<TensorFileWriter>> files_;
  std::vector<std::pair<std::string, std::string>> index_;  // stored tensor -> file name
  int64_t stored_bytes_ = 0;
};

}  // namespace deeprack::checkpoint
