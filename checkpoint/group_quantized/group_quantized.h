// Reads slices of a weight of integers in groups (AWQ, GPTQ, compressed-tensors): as rows of blocks for the
// kernels, or as fp32 values.
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

// Holds views of the reader's files, which must outlive it. Any thread may read.
//
// With act-order the columns of a group are not neighbours, so there are no blocks. Such a weight can only be
// read as values, which take 2 or 4 bytes each in memory instead of 9/16 byte.
class GroupQuantizedWeight {
 public:
  // Opens `weight` of shape [rows, cols]; both must be positive. Of the contents, reads only g_idx and
  // weight_shape. Errors: those of FindGroupParts; DataLoss (g_idx names a group that does not exist;
  // weight_shape is another shape); InvalidArgument (columns are out of order, but config.json says that they
  // are in order).
  static absl::StatusOr<GroupQuantizedWeight> Open(const CheckpointReader& reader,
                                                   const model::GroupQuantization& quantization,
                                                   const std::string& weight, int64_t rows, int64_t cols);

  DType block_type() const { return type_; }
  // True when every column c belongs to group c / 128.
  bool in_order() const { return column_group_.empty(); }
  // True when columns [col_begin, col_begin + cols) are whole blocks: columns are in order, and col_begin and
  // cols are multiples of 128.
  bool HoldsBlocks(int64_t col_begin, int64_t cols) const;

  // `slice` must lie inside the matrix and not be empty. ReadBlocks also requires HoldsBlocks for the slice's
  // columns. `blocks` [slice.rows, slice.cols / 128] receives blocks (base/block_formats.h) and may have any
  // alignment. `values` [slice.rows, slice.cols] receives (q - zero) * scale in fp32, rounded once: the
  // values that Dequantize gives for the blocks. DataLoss: a scale is NaN or infinite, or so large that a
  // value could be infinite.
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
  NibbleMatrix codes_;            // int4 [rows, cols]
  NibbleMatrix zeros_;            // int4 [rows, groups]; words == nullptr: all zeros are 8
  int zero_offset_ = 0;           // added to every stored zero
  const int8_t* int8_ = nullptr;  // int8: [rows, cols]
  // The scale of (row, group) is element row * scale_row_stride_ + group * scale_group_stride_.
  const std::byte* scales_ = nullptr;
  DType scale_type_ = DType::kF16;
  int64_t scale_row_stride_ = 0;
  int64_t scale_group_stride_ = 0;
  std::vector<int32_t> column_group_;  // [cols]: each column's group; empty: columns are in order
  std::string scale_name_;             // of the scales' tensor, for messages
  std::string scale_file_;             // the file of that tensor, for messages
};

}  // namespace deeprack::checkpoint
