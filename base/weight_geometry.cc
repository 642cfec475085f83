#include "base/weight_geometry.h"

#include "base/block_formats.h"
#include "base/checked.h"

namespace deeprack {

int64_t PackedValueBytes(DType type, int64_t rows, int64_t cols, WeightLayout layout) {
  if (IsTiles(layout)) return Int4Bytes(1, rows, cols);
  const int64_t blocks = CeilDiv(rows, kPanelRows) * (cols / BlockElements(type));  // of a panel's rows
  return RoundUp(blocks * PackedBlockBytes(type), kWeightAlignment);
}

int64_t PackedScaleBytes(DType type, int64_t rows, int64_t cols, int64_t col_begin, WeightLayout layout) {
  if (type != DType::kF8E4M3) return 0;
  const int64_t scales = CeilDiv(rows, kPanelRows) * ScaleBlocksOf(cols, col_begin) * ScalesOfPanel(layout);
  return RoundUp(scales * static_cast<int64_t>(sizeof(float)), kWeightAlignment);
}

}  // namespace deeprack
