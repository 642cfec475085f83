#include "checkpoint/group_quantized/group_quantized.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"

namespace deeprack::checkpoint {
namespace {

using model::GroupLayout;
using model::Slice;

static_assert(kGroup == kTileCols && kGroup == BlockElements(DType::kInt4G128) &&
              kGroup == BlockElements(DType::kInt8G128));
constexpr uint8_t kSymmetricZero = 8;

template <class T>
T At(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

float ScaleAt(const std::byte* data, DType type, int64_t index) {
  switch (type) {
    case DType::kF16:
      return ToFloat(At<f16>(data, index));
    case DType::kBF16:
      return ToFloat(At<bf16>(data, index));
    default:
      return At<float>(data, index);
  }
}

// Packs 128 codes into 64 bytes, eight bytes at a time. The upper half of each byte of `codes` must be 0.
void PackBlockCodes(const uint8_t* codes, uint8_t* qs) {
  for (int k = 0; k < 64; k += 8) {
    uint64_t low, high;
    std::memcpy(&low, codes + k, sizeof(low));
    std::memcpy(&high, codes + 64 + k, sizeof(high));
    low |= high << 4;
    std::memcpy(qs + k, &low, sizeof(low));
  }
}

}  // namespace

// Scales and zeros of the slice's rows for groups [first_group, first_group + groups): [slice.rows][groups].
struct GroupQuantizedWeight::Parameters {
  int64_t first_group = 0;
  int64_t groups = 0;
  std::vector<float> scales;
  std::vector<uint8_t> zeros;
};

absl::StatusOr<GroupQuantizedWeight> GroupQuantizedWeight::Open(const CheckpointReader& reader,
                                                                const model::GroupQuantization& quantization,
                                                                const std::string& weight, int64_t rows,
                                                                int64_t cols) {
  DR_ASSIGN_OR_RETURN(const GroupParts parts, FindGroupParts(reader, quantization, weight, rows, cols));
  const int64_t groups = CeilDiv(cols, kGroup);
  const std::byte* values = parts.values.view.bytes.data();
  const std::byte* zeros = parts.zeros ? parts.zeros->view.bytes.data() : nullptr;

  GroupQuantizedWeight opened;
  opened.type_ = quantization.type();
  opened.rows_ = rows;
  opened.cols_ = cols;
  opened.zero_offset_ = quantization.zero_minus_one ? 1 : 0;
  opened.scales_ = parts.scales.view.bytes.data();
  opened.scale_type_ = parts.scales.view.dtype;
  opened.scale_row_stride_ = groups;
  opened.scale_group_stride_ = 1;
  opened.scale_name_ = parts.scales.name;
  opened.scale_file_ = reader.FileOf(parts.scales.name);
  switch (quantization.layout) {
    case GroupLayout::kAwq:
    case GroupLayout::kGptq:
      opened.zeros_ = {.words = zeros, .row_stride = 1, .col_stride = rows / 8, .octet = Octet::kRows};
      opened.codes_ = {.words = values, .row_stride = 1, .col_stride = rows, .octet = Octet::kColumns};
      if (quantization.layout == GroupLayout::kAwq) {
        opened.zeros_.octet = Octet::kRowsAwq;
        opened.codes_ = opened.zeros_;
        opened.codes_.words = values;
      }
      opened.scale_row_stride_ = 1;
      opened.scale_group_stride_ = rows;
      break;
    case GroupLayout::kPackQuantized:
      opened.codes_ = {.words = values,
                       .row_stride = CeilDiv(cols, int64_t{8}),
                       .col_stride = 1,
                       .octet = Octet::kColumns};
      opened.zeros_ = {.words = zeros, .row_stride = groups, .col_stride = 1, .octet = Octet::kRows};
      break;
    case GroupLayout::kIntQuantized:
      opened.int8_ = reinterpret_cast<const int8_t*>(values);
      opened.scale_row_stride_ = 1;
      opened.scale_group_stride_ = 0;  // one scale for each row
      break;
  }
  if (parts.shape) DR_RETURN_IF_ERROR(opened.CheckShapePart(reader, *parts.shape));
  if (parts.column_group) {
    DR_RETURN_IF_ERROR(opened.ReadColumnGroups(reader, *parts.column_group, quantization.act_order));
  }
  return opened;
}

absl::Status GroupQuantizedWeight::CheckShapePart(const CheckpointReader& reader,
                                                  const GroupPart& part) const {
  const auto dimension = [&](int64_t i) {
    return part.view.dtype == DType::kI64 ? At<int64_t>(part.view.bytes.data(), i)
                                          : int64_t{At<int32_t>(part.view.bytes.data(), i)};
  };
  if (dimension(0) == rows_ && dimension(1) == cols_) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "tensor ", part.name, " in ", reader.FileOf(part.name), " says [", dimension(0), ", ", dimension(1),
      "], expected [", rows_, ", ", cols_, "]: the file is damaged or of another model; fetch it again"));
}

absl::Status GroupQuantizedWeight::ReadColumnGroups(const CheckpointReader& reader, const GroupPart& part,
                                                    bool act_order) {
  const int64_t groups = CeilDiv(cols_, kGroup);
  column_group_.resize(static_cast<size_t>(cols_));
  std::memcpy(column_group_.data(), part.view.bytes.data(), part.view.bytes.size());
  // All entries -1: compressed-tensors' initial value, which means that the columns are in order.
  const bool unset =
      std::all_of(column_group_.begin(), column_group_.end(), [](int32_t g) { return g == -1; });
  bool in_order = true;
  for (int64_t col = 0; col < cols_ && !unset; ++col) {
    const int64_t group = column_group_[static_cast<size_t>(col)];
    in_order &= group == col / kGroup;
    if (group < 0 || group >= groups) {
      return absl::DataLossError(absl::StrCat("tensor ", part.name, " in ", reader.FileOf(part.name),
                                              " puts column ", col, " in group ", group, ", of groups 0 to ",
                                              groups - 1, ": the file is damaged; fetch it again"));
    }
  }
  if (in_order) column_group_.clear();
  if (in_order || act_order) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor ", part.name, " in ", reader.FileOf(part.name),
                                                 " has columns whose groups are out of order, but "
                                                 "config.json's quantization_config says that they are in "
                                                 "order: correct desc_act or actorder there"));
}

bool GroupQuantizedWeight::HoldsBlocks(int64_t col_begin, int64_t cols) const {
  return in_order() && col_begin % kGroup == 0 && cols % kGroup == 0;
}

void GroupQuantizedWeight::CheckInside(const Slice& slice) const {
  DR_CHECK(slice.row_begin >= 0 && slice.rows > 0 && slice.row_begin + slice.rows <= rows_);
  DR_CHECK(slice.col_begin >= 0 && slice.cols > 0 && slice.col_begin + slice.cols <= cols_);
}

absl::StatusOr<GroupQuantizedWeight::Parameters> GroupQuantizedWeight::ReadParameters(
    const Slice& slice) const {
  Parameters read;
  read.groups = CeilDiv(cols_, kGroup);
  if (in_order()) {
    read.first_group = slice.col_begin / kGroup;
    read.groups = CeilDiv(slice.col_begin + slice.cols, kGroup) - read.first_group;
  }
  const size_t count = static_cast<size_t>(slice.rows * read.groups);
  read.scales.resize(count);
  read.zeros.assign(count, kSymmetricZero);
  const float most_levels = int8_ != nullptr ? 128 : 16;  // the largest |q - zero|
  bool finite = true;
  for (int64_t g = 0; g < read.groups; ++g) {
    for (int64_t r = 0; r < slice.rows; ++r) {
      const float scale =
          ScaleAt(scales_, scale_type_,
                  (slice.row_begin + r) * scale_row_stride_ + (read.first_group + g) * scale_group_stride_);
      finite &= std::isfinite(scale * most_levels);
      read.scales[static_cast<size_t>(r * read.groups + g)] = scale;
    }
  }
  if (!finite) {
    return absl::DataLossError(absl::StrCat("tensor ", scale_name_, " in ", scale_file_,
                                            " holds NaN or infinity: the file is damaged; fetch it again"));
  }
  if (zeros_.words == nullptr) return read;

  // The columns of the zeros' matrix are groups. UnpackNibbles needs a multiple of 8 as the first column.
  std::vector<uint8_t> tile(static_cast<size_t>(kTileRows * kTileCols));
  const int64_t end = read.first_group + read.groups;
  for (int64_t row = 0; row < slice.rows; row += kTileRows) {
    const int64_t rows = std::min(kTileRows, slice.rows - row);
    for (int64_t col = read.first_group / 8 * 8; col < end; col += kTileCols) {
      const int64_t cols = std::min(kTileCols, end - col);
      UnpackNibbles(zeros_, {slice.row_begin + row, rows, col, cols}, tile.data());
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t g = std::max(col, read.first_group); g < col + cols; ++g) {
          read.zeros[static_cast<size_t>((row + r) * read.groups + g - read.first_group)] =
              static_cast<uint8_t>(tile[static_cast<size_t>(r * kTileCols + g - col)] + zero_offset_);
        }
      }
    }
  }
  return read;
}

absl::Status GroupQuantizedWeight::ReadBlocks(const Slice& slice, std::byte* blocks) const {
  CheckInside(slice);
  DR_CHECK(HoldsBlocks(slice.col_begin, slice.cols));
  DR_ASSIGN_OR_RETURN(const Parameters parameters, ReadParameters(slice));
  const int64_t groups = slice.cols / kGroup;
  if (int8_ != nullptr) {
    for (int64_t i = 0; i < slice.rows * groups; ++i) {
      BlockInt8G128 block;
      block.scale = parameters.scales[static_cast<size_t>(i)];
      std::memcpy(block.qs,
                  int8_ + (slice.row_begin + i / groups) * cols_ + slice.col_begin + i % groups * kGroup,
                  sizeof(block.qs));
      std::memcpy(blocks + i * static_cast<int64_t>(sizeof(block)), &block, sizeof(block));
    }
    return absl::OkStatus();
  }

  uint8_t codes[kTileRows * kTileCols];
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t row = 0; row < slice.rows; row += kTileRows) {
      const int64_t rows = std::min(kTileRows, slice.rows - row);
      UnpackNibbles(codes_, {slice.row_begin + row, rows, slice.col_begin + g * kGroup, kGroup}, codes);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t i = (row + r) * groups + g;
        const uint8_t* q = codes + r * kTileCols;
        BlockInt4G128 block = {.scale = parameters.scales[static_cast<size_t>(i)],
                               .zero = parameters.zeros[static_cast<size_t>(i)]};
        PackBlockCodes(q, block.qs);
        std::memcpy(blocks + i * static_cast<int64_t>(sizeof(block)), &block, sizeof(block));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status GroupQuantizedWeight::ReadValues(const Slice& slice, float* values) const {
  CheckInside(slice);
  DR_ASSIGN_OR_RETURN(const Parameters parameters, ReadParameters(slice));
  if (int8_ != nullptr) {
    for (int64_t r = 0; r < slice.rows; ++r) {
      const int8_t* q = int8_ + (slice.row_begin + r) * cols_ + slice.col_begin;
      const float scale = parameters.scales[static_cast<size_t>(r * parameters.groups)];
      for (int64_t c = 0; c < slice.cols; ++c) values[r * slice.cols + c] = static_cast<float>(q[c]) * scale;
    }
    return absl::OkStatus();
  }

  uint8_t codes[kTileRows * kTileCols];
  const int64_t end = slice.col_begin + slice.cols;
  for (int64_t first = slice.col_begin / kGroup * kGroup; first < end; first += kGroup) {
    const int64_t begin = std::max(first, slice.col_begin);
    const int64_t stop = std::min(first + kGroup, end);
    for (int64_t row = 0; row < slice.rows; row += kTileRows) {
      const int64_t rows = std::min(kTileRows, slice.rows - row);
      UnpackNibbles(codes_, {slice.row_begin + row, rows, first, stop - first}, codes);
      for (int64_t r = 0; r < rows; ++r) {
        const uint8_t* q = codes + r * kTileCols;
        const float* scales = parameters.scales.data() + (row + r) * parameters.groups;
        const uint8_t* zeros = parameters.zeros.data() + (row + r) * parameters.groups;
        float* to = values + (row + r) * slice.cols;
        if (in_order()) {
          const int64_t g = first / kGroup - parameters.first_group;
          const float scale = scales[g];
          const int zero = zeros[g];
          for (int64_t c = begin; c < stop; ++c)
            to[c - slice.col_begin] = static_cast<float>(q[c - first] - zero) * scale;
        } else {
          for (int64_t c = begin; c < stop; ++c) {
            const int32_t g = column_group_[static_cast<size_t>(c)];
            to[c - slice.col_begin] = static_cast<float>(q[c - first] - int{zeros[g]}) * scales[g];
          }
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace deeprack::checkpoint
