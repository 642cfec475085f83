#include <algorithm>
#include <bit>
#include <cstring>

#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "kernels/api/weight_packing.h"
#include "kernels/cpu/pack_blocks.h"

namespace deeprack::kernels {
namespace {

float AsFloat(float value) { return value; }
float AsFloat(bf16 value) { return ToFloat(value); }
float AsFloat(fp8_e4m3 value) { return ToFloat(value); }
float AsFloat(f16 value) { return ToFloat(value); }

// Converts a value to the stored type: unchanged, or times the block's scale in float and rounded once.
template <class From, class To>
To Convert(From value, float scale) {
  if constexpr (std::is_same_v<From, To>) {
    return value;
  } else {
    return FromFloat<To>(AsFloat(value) * scale);
  }
}

template <class From, class To>
void PackValues(const SourceMatrix& source, int64_t first_row, To* values) {
  const From* data = static_cast<const From*>(source.data);
  const bool scaled = std::is_same_v<From, fp8_e4m3> && !std::is_same_v<To, fp8_e4m3>;
  for (int64_t row = 0; row < source.rows; row += kPanelRows) {
    const int64_t rows = std::min(kPanelRows, source.rows - row);
    To* panel = values + (first_row + row) / kPanelRows * kPanelRows * source.cols;
    for (int64_t k = 0; k < source.cols; ++k) {
      for (int64_t r = 0; r < rows; ++r) {
        float scale = 1.0f;
        if (scaled) {
          scale = source.scales[(source.row_begin + row + r) / kScaleBlock * source.scale_cols +
                                (source.col_begin + k) / kScaleBlock];
        }
        panel[k * kPanelRows + r] = Convert<From, To>(data[(row + r) * source.row_stride + k], scale);
      }
      std::memset(static_cast<void*>(panel + k * kPanelRows + rows), 0, (kPanelRows - rows) * sizeof(To));
    }
  }
}

void PackScales(const SourceMatrix& source, int64_t first_row, float* scales) {
  const int64_t first_block = source.col_begin / kScaleBlock;
  const int64_t blocks = ScaleBlocksOf(source.cols, source.col_begin);
  for (int64_t row = 0; row < RoundUp(source.rows, kPanelRows); ++row) {
    const int64_t packed_row = first_row + row;
    for (int64_t b = 0; b < blocks; ++b) {
      const float scale =
          row < source.rows
              ? source.scales[(source.row_begin + row) / kScaleBlock * source.scale_cols + first_block + b]
              : 0.0f;
      scales[(packed_row / kPanelRows * blocks + b) * kPanelRows + packed_row % kPanelRows] = scale;
    }
  }
}

// Packs block formats as fp32 or bf16, 16 rows by one block at a time.
template <class To>
void PackDequantized(const SourceMatrix& source, int64_t first_row, To* values) {
  const int64_t elements = BlockElements(source.type);
  DR_CHECK(source.cols % elements == 0 && source.row_stride % elements == 0);
  const auto* data = static_cast<const std::byte*>(source.data);
  float blocks[kPanelRows][256] = {};
  for (int64_t row = 0; row < source.rows; row += kPanelRows) {
    const int64_t rows = std::min(kPanelRows, source.rows - row);
    To* panel = values + (first_row + row) / kPanelRows * kPanelRows * source.cols;
    for (int64_t r = rows; r < kPanelRows; ++r) std::fill_n(blocks[r], elements, 0.0f);
    for (int64_t k = 0; k < source.cols; k += elements) {
      for (int64_t r = 0; r < rows; ++r) {
        Dequantize(source.type, data + BytesOf(source.type, (row + r) * source.row_stride + k), elements,
                   blocks[r]);
      }
      for (int64_t i = 0; i < elements; ++i) {
        for (int64_t r = 0; r < kPanelRows; ++r)
          panel[(k + i) * kPanelRows + r] = FromFloat<To>(blocks[r][i]);
      }
    }
  }
}

template <class From>
void PackFrom(const SourceMatrix& source, DType type, int64_t first_row, void* values) {
  if (type == DType::kF32) {
    PackValues<From>(source, first_row, static_cast<float*>(values));
  } else {
    PackValues<From>(source, first_row, static_cast<bf16*>(values));
  }
}

}  // namespace

void PackRows(const SourceMatrix& source, const PanelTarget& target) {
  const auto [type, first_row, total_rows, values, scales] = target;
  DR_CHECK(first_row >= 0 && source.rows >= 0 && first_row + source.rows <= total_rows);
  DR_CHECK(first_row % kPanelRows == 0);
  DR_CHECK(source.rows % kPanelRows == 0 || first_row + source.rows == total_rows);
  DR_CHECK(source.type != DType::kF8E4M3 || source.scales != nullptr);
  DR_CHECK(type == DType::kF32 || type == DType::kBF16 ||
           (source.type == type && (type == DType::kF8E4M3 || IsBlockFormat(type))));
  if (type == DType::kF8E4M3) {
    PackValues<fp8_e4m3>(source, first_row, static_cast<fp8_e4m3*>(values));
    PackScales(source, first_row, scales);
    return;
  }
  if (IsBlockFormat(type)) return PackBlocks(source, first_row, static_cast<uint8_t*>(values));
  if (IsBlockFormat(source.type)) {
    if (type == DType::kF32) return PackDequantized(source, first_row, static_cast<float*>(values));
    return PackDequantized(source, first_row, static_cast<bf16*>(values));
  }
  switch (source.type) {
    case DType::kF32:
      return PackFrom<float>(source, type, first_row, values);
    case DType::kBF16:
      return PackFrom<bf16>(source, type, first_row, values);
    case DType::kF16:
      return PackFrom<f16>(source, type, first_row, values);
    case DType::kF8E4M3:
      return PackFrom<fp8_e4m3>(source, type, first_row, values);
    default:
      DR_CHECK(!"a weight's values are F32, BF16, F16, F8_E4M3 or of a block format");
  }
}

}  // namespace deeprack::kernels
