// Reads the weights to be quantised as rows of fp32, from files of any type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/dtype.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::cli {

// The checkpoint has passed CheckCheckpoint, so every tensor is there (but for copies in an MTP layer), an fp8 tensor with its scales,
// integers in groups with their parts. A tensor has rows of its last dimension; a vector is one row.
// Thread-safe.
class WeightSource {
 public:
  // Both are borrowed.
  WeightSource(const model::ModelConfig* config, const checkpoint::CheckpointReader* reader);

  // Rows [row_begin, row_begin + rows) into `out`, row after row. DataLoss names a tensor with NaN or
  // infinity.
  absl::Status ReadRows(const std::string& name, int64_t row_begin, int64_t rows, float* out) const;

  int64_t Columns(const std::string& name) const;
  // The type of the tensor; for integers in groups the block type.
  DType Type(const std::string& name) const;

  // The bytes of these rows in the file. Not for integers in groups, which are stored in several tensors.
  std::span<const std::byte> StoredRows(const std::string& name, int64_t row_begin, int64_t rows) const;

 private:
  absl::Status ReadFp8Rows(const std::string& name, int64_t row_begin, int64_t rows, float* out) const;

  const model::ModelConfig& config_;
  const checkpoint::CheckpointReader& reader_;
  absl::flat_hash_map<std::string, model::TensorSpec> in_groups_;  // by name
};

}  // namespace deeprack::cli
