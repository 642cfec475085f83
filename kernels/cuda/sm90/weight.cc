#include "kernels/cuda/sm90/weight.h"

#include <cstring>

#include "base/check.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int64_t kHalfPanel = kPanelRows / 2;

// Source rows [8 * eight, + 8) to rows [to, to + 8), their scales to that half of the panel.
void CopyEight(const SourceMatrix& source, int64_t eight, int64_t to, void* data, float* scales) {
  const auto size = static_cast<int64_t>(SizeOf(source.type));
  const int64_t first = eight * kHalfPanel;
  for (int64_t r = 0; r < kHalfPanel && first + r < source.rows; ++r) {
    std::memcpy(static_cast<char*>(data) + (to + r) * source.cols * size,
                static_cast<const char*>(source.data) + (first + r) * source.row_stride * size,
                static_cast<size_t>(source.cols * size));
  }
  if (source.type != DType::kF8E4M3) return;
  const int64_t blocks = ScaleBlocks(source.cols);
  const float* from = source.scales + (source.row_begin + first) / kScaleBlock * source.scale_cols +
                      source.col_begin / kScaleBlock;
  float* const panel = scales + to / kPanelRows * blocks * 2;
  for (int64_t b = 0; b < blocks; ++b) panel[b * 2 + to % kPanelRows / kHalfPanel] = from[b];
}

}  // namespace

const char* WhyNotRowWeight(DType type, int64_t n, int64_t k, int64_t row_begin, int64_t col_begin) {
  if (type != DType::kBF16 && type != DType::kF8E4M3 && type != DType::kInt4G128) return "its type";
  if (n % kPanelRows != 0) return "its rows are no multiple of 16";
  if (type == DType::kInt4G128) return k % kScaleBlock == 0 ? nullptr : "its columns are no multiple of 128";
  if (k * static_cast<int64_t>(SizeOf(type)) % 16 != 0) return "a row of it is no multiple of 16 bytes";
  if (type != DType::kF8E4M3) return nullptr;
  if (row_begin % kHalfPanel != 0) return "its slice begins at a row of the tensor that is no multiple of 8";
  if (col_begin % kScaleBlock != 0) return "its slice begins within a block of 128 columns";
  return nullptr;
}

void PackRowMajor(const SourceMatrix& source, int64_t first_row, void* data, float* scales) {
  DR_CHECK(first_row % kPanelRows == 0);
  for (int64_t eight = 0; eight * kHalfPanel < source.rows; ++eight) {
    CopyEight(source, eight, first_row + eight * kHalfPanel, data, scales);
  }
}

void PackGateUp(const SourceMatrix& gate, const SourceMatrix& up, void* data, float* scales) {
  DR_CHECK(gate.rows == up.rows && gate.rows % kHalfPanel == 0);
  for (int64_t eight = 0; eight * kHalfPanel < gate.rows; ++eight) {
    CopyEight(gate, eight, eight * kPanelRows, data, scales);
    CopyEight(up, eight, eight * kPanelRows + kHalfPanel, data, scales);
  }
}

}  // namespace deeprack::kernels::sm90
