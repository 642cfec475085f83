#include <cstring>

#include "base/check.h"
#include "kernels/api/weight_packing.h"

namespace deeprack::kernels {
namespace {

constexpr int64_t kHalfPanel = kPanelRows / 2;

// Copies source rows [8 * eight, 8 * eight + 8) to rows [to, to + 8). Their scales go to that half of the
// panel.
void CopyEight(const SourceMatrix& source, int64_t eight, int64_t to, void* data, float* scales) {
  const auto size = static_cast<int64_t>(SizeOf(source.type));
  const int64_t first = eight * kHalfPanel;
  for (int64_t r = 0; r < kHalfPanel && first + r < source.rows; ++r) {
    std::memcpy(static_cast<char*>(data) + (to + r) * source.cols * size,
                static_cast<const char*>(source.data) + (first + r) * source.row_stride * size,
                static_cast<size_t>(source.cols * size));
  }
  if (source.type != DType::kF8E4M3) return;
  const int64_t blocks = ScaleBlocksOf(source.cols, source.col_begin);
  const float* from = source.scales + (source.row_begin + first) / kScaleBlock * source.scale_cols +
                      source.col_begin / kScaleBlock;
  float* const panel = scales + to / kPanelRows * blocks * 2;
  for (int64_t b = 0; b < blocks; ++b) panel[b * 2 + to % kPanelRows / kHalfPanel] = from[b];
}

}  // namespace

void PackRowMajor(const SourceMatrix& source, int64_t first_row, void* data, float* scales) {
  DR_CHECK(first_row % kPanelRows == 0);
  for (int64_t eight = 0; eight * kHalfPanel < source.rows; ++eight) {
    CopyEight(source, eight, first_row + eight * kHalfPanel, data, scales);
  }
}

}  // namespace deeprack::kernels
