#include "base/dtype.h"

namespace deeprack {

std::string_view Name(DType type) {
  switch (type) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kF8E4M3:
      return "F8_E4M3";
    case DType::kI64:
      return "I64";
    case DType::kI32:
      return "I32";
    case DType::kI8:
      return "I8";
    case DType::kU8:
      return "U8";
    case DType::kQ4_0:
      return "Q4_0";
    case DType::kQ4_1:
      return "Q4_1";
    case DType::kQ5_0:
      return "Q5_0";
    case DType::kQ5_1:
      return "Q5_1";
    case DType::kQ8_0:
      return "Q8_0";
    case DType::kQ2K:
      return "Q2_K";
    case DType::kQ3K:
      return "Q3_K";
    case DType::kQ4K:
      return "Q4_K";
    case DType::kQ5K:
      return "Q5_K";
    case DType::kQ6K:
      return "Q6_K";
    case DType::kInt4G128:
      return "INT4_G128";
    case DType::kInt8G128:
      return "INT8_G128";
  }
  return "?";
}

std::optional<DType> DTypeFromName(std::string_view name) {
  for (DType type : {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E4M3, DType::kI64, DType::kI32, DType::kI8,
                     DType::kU8}) {
    if (Name(type) == name) return type;
  }
  return std::nullopt;
}

}  // namespace deeprack
