// The weights to be quantised as rows of fp32, whatever the files hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "base/dtype.h"
#include "checkpoint/checkpoint_reader.h"

namespace deeprack::cli {

// Over a checkpoint that CheckCheckpoint has accepted: the tensors asked for are there, fp8 ones with their
// scales. A tensor is seen as rows of its last dimension; a vector is one row. Thread-safe.
class WeightSource {
 public:
  // `reader` is borrowed.
  explicit WeightSource(const checkpoint::CheckpointReader* reader) : reader_(*reader) {}

  // Rows [row_begin, row_begin + rows) into `out`, row after row. DataLoss names a tensor with NaN or
  // infinity.
  absl::Status ReadRows(const std::string& name, int64_t row_begin, int64_t rows, float* out) const;

  int64_t Columns(const std::string& name) const;
  DType Type(const std::string& name) const;

  // These rows' bytes as they are stored.
  std::span<const std::byte> StoredRows(const std::string& name, int64_t row_begin, int64_t rows) const;

 private:
  absl::Status ReadFp8Rows(const std::string& name, int64_t row_begin, int64_t rows, float* out) const;

  const checkpoint::CheckpointReader& reader_;
};

}  // namespace deeprack::cli
