#include "model/gguf/gguf_tensor_type.h"

#include <string_view>

#include "absl/strings/str_cat.h"

namespace deeprack::model {
namespace {

struct TypeRow {
  uint32_t number;
  std::string_view name;
  std::optional<DType> dtype = std::nullopt;
};

constexpr TypeRow kTypes[] = {
    {0, "F32", DType::kF32},
    {1, "F16", DType::kF16},
    {30, "BF16", DType::kBF16},
    {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},
    {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},
    {10, "Q2_K", DType::kQ2K},
    {11, "Q3_K", DType::kQ3K},
    {12, "Q4_K", DType::kQ4K},
    {13, "Q5_K", DType::kQ5K},
    {14, "Q6_K", DType::kQ6K},
    {9, "Q8_1"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {20, "IQ4_NL"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {23, "IQ4_XS"},
    {24, "I8"},
    {25, "I16"},
    {26, "I32"},
    {27, "I64"},
    {28, "F64"},
    {29, "IQ1_M"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {39, "MXFP4"},
    {40, "NVFP4"},
    {41, "Q1_0"},
    {42, "Q2_0"},
};

// Numbers of types that only ik_llama.cpp has (IQ4_K, Q4_K_R4, ...).
constexpr uint32_t kFirstOfFork = 97;
constexpr uint32_t kEndOfFork = 400;

}  // namespace

std::string GgufTensorTypeName(uint32_t type) {
  for (const TypeRow& row : kTypes) {
    if (row.number == type) return std::string(row.name);
  }
  if (type >= kFirstOfFork && type < kEndOfFork) return absl::StrCat(type, " (of ik_llama.cpp)");
  return "";
}

std::optional<DType> GgufTensorDType(uint32_t type) {
  for (const TypeRow& row : kTypes) {
    if (row.number == type) return row.dtype;
  }
  return std::nullopt;
}

std::optional<uint32_t> GgufTensorTypeOf(DType dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return row.number;
  }
  return std::nullopt;
}

std::string SupportedGgufTensorTypes() {
  std::string names;
  for (const TypeRow& row : kTypes) {
    if (row.dtype) absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(row.name));
  }
  return names;
}

}  // namespace deeprack::model
