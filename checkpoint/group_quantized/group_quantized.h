// Reading a weight of integers in groups (AWQ, GPTQ, compressed-tensors) by regions: as rows of blocks for
// the kernels, or as fp32 values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/group_quantized/group_parts.h"
#include "checkpoint/group_quantized/nibbles.h"
#include "model/config/group_quantization.h"
#include "model/shard/shard.h"

namespace deeprack::checkpoint {

// Views into the reader's files, which must outlive it. Any thread may read.
//
// Where groups are columns in any order (act-order), there are no blocks: whoever holds such a weight holds
// its values, at 2 or 4 bytes each instead of 9/16.
class GroupQuantizedWeight {
 public:
  // `weight` of rows x cols, both positive. Errors: FindGroupParts', and of the contents DataLoss (a column's
  // group that does not exist; a weight_shape of another matrix) and InvalidArgument (columns out of order
  // where config.json says that they are in order). Of the contents only g_idx and weight_shape are read.
  static absl::StatusOr<GroupQuantizedWeight> Open(const CheckpointReader& reader,
                                                   const model::GroupQuantization& quantization,
                                                   const std::string& weight, int64_t rows, int64_t cols);

  DType block_type() const { return type_; }
  // Whether column c belongs to group c / 128 throughout.
  bool in_order() const { return column_group_.empty(); }
  // Whether columns [col_begin, col_begin + cols) are whole blocks: in order, and cut at multiples of 128.
  bool HoldsBlocks(int64_t col_begin, int64_t cols) const;

  // `slice` must lie inside the matrix and not be empty; for blocks HoldsBlocks must be true of its columns.
  // `blocks` takes slice.rows rows of slice.cols / 128 blocks (base/block_formats.h), at any address;
  // `values` slice.rows x slice.cols, each (q - zero) * scale in fp32, rounded once: what Dequantize makes of
  // the blocks. DataLoss: a scale is NaN or infinite, or large enough to make a value so.
  absl::Status ReadBlocks(const model::Slice& slice, std::byte* blocks) const;
  absl::Status ReadValues(const model::Slice& slice, float* values) const;

 private:
  struct Parameters;  // scales and zeros of a slice's groups

  absl::Status ReadColumnGroups(const CheckpointReader& reader, const GroupPart& part, bool act_order);
  absl::Status CheckShapePart(const CheckpointReader& reader, const GroupPart& part) const;
  absl::StatusOr<Parameters> ReadParameters(const model::Slice& slice) const;
  void ReadCodes(int64_t row, int64_t rows, int64_t col, int64_t cols, uint8_t* codes) const;
  void CheckInside(const model::Slice& slice) const;

  DType type_ = DType::kInt4G128;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  NibbleMatrix codes_;            // int4
  NibbleMatrix zeros_;            // int4; its columns are groups; without words: all zeros are 8
  int zero_offset_ = 0;           // added to the stored zeros
  const int8_t* int8_ = nullptr;  // int8: [rows, cols]
  // Scale of (row, group): element row * scale_row_stride + group * scale_group_stride.
  const std::byte* scales_ = nullptr;
  DType scale_type_ = DType::kF16;
  int64_t scale_row_stride_ = 0;
  int64_t scale_group_stride_ = 0;
  std::vector<int32_t> column_group_;  // empty: in order
  std::string scale_name_;             // and its file, for messages
  std::string scale_file_;
};

}  // namespace deeprack::checkpoint
