#include "kernels/cuda/sm90/weight.h"

namespace deeprack::kernels::sm90 {

const char* WhyNotRowWeight(DType type, int64_t n, int64_t k, int64_t row_begin, int64_t col_begin) {
  if (type != DType::kBF16 && type != DType::kF8E4M3 && type != DType::kInt4G128) return "its type";
  if (n % kPanelRows != 0) return "its rows are no multiple of 16";
  if (type == DType::kInt4G128) return k % kScaleBlock == 0 ? nullptr : "its columns are no multiple of 128";
  if (k * static_cast<int64_t>(SizeOf(type)) % 16 != 0) return "a row of it is no multiple of 16 bytes";
  if (type != DType::kF8E4M3) return nullptr;
  if (row_begin % (kPanelRows / 2) != 0)
    return "its slice begins at a row of the tensor that is no multiple of 8";
  if (col_begin % kScaleBlock != 0) return "its slice begins within a block of 128 columns";
  return nullptr;
}

}  // namespace deeprack::kernels::sm90
