#include "cli/quantize/quant_type.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace deeprack::cli {
namespace {

struct Row {
  QuantType type;
  std::string_view name;
  uint32_t file_type;
};

// In the order of the enum, which is that of size.
constexpr Row kRows[] = {
    {QuantType::kF16, "F16", 1},      {QuantType::kBF16, "BF16", 32},   {QuantType::kQ8_0, "Q8_0", 7},
    {QuantType::kQ6K, "Q6_K", 18},    {QuantType::kQ5KM, "Q5_K_M", 17}, {QuantType::kQ5KS, "Q5_K_S", 16},
    {QuantType::kQ4KM, "Q4_K_M", 15}, {QuantType::kQ4KS, "Q4_K_S", 14}, {QuantType::kQ3KL, "Q3_K_L", 13},
    {QuantType::kQ3KM, "Q3_K_M", 12}, {QuantType::kQ3KS, "Q3_K_S", 11}, {QuantType::kQ2K, "Q2_K", 10},
    {QuantType::kQ2KS, "Q2_K_S", 21},
};

}  // namespace

std::string_view Name(QuantType type) { return kRows[static_cast<size_t>(type)].name; }

uint32_t GgufFileType(QuantType type) { return kRows[static_cast<size_t>(type)].file_type; }

std::optional<QuantType> QuantTypeFromName(std::string_view name) {
  for (const Row& row : kRows) {
    if (absl::EqualsIgnoreCase({row.name.data(), row.name.size()}, {name.data(), name.size()})) {
      return row.type;
    }
  }
  return std::nullopt;
}

std::vector<QuantType> AllQuantTypes() {
  std::vector<QuantType> types;
  for (const Row& row : kRows) types.push_back(row.type);
  return types;
}

std::string QuantTypeNames() {
  std::string names;
  for (const Row& row : kRows) absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(row.name));
  return names;
}

}  // namespace deeprack::cli
