#include "settings/size_text.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace deeprack {
namespace {

constexpr absl::string_view kUnits = "KMGT";  // 1024 to the power of 1, 2, 3 and 4

}  // namespace

absl::StatusOr<int64_t> ParseSize(absl::string_view text, int64_t least) {
  absl::string_view digits = text;
  int64_t unit = 1;
  if (!digits.empty()) {
    if (const size_t power = kUnits.find(digits.back()); power != absl::string_view::npos) {
      unit = int64_t{1} << (10 * (power + 1));
      digits.remove_suffix(1);
    }
  }
  int64_t count = 0;
  if (digits.empty() || !absl::SimpleAtoi(digits, &count) || count < 0 ||
      count > std::numeric_limits<int64_t>::max() / unit || count * unit < least) {
    return absl::InvalidArgumentError(absl::StrCat(
        "must be a size: ", least,
        " bytes or more, as a whole number with or without a unit: K, M, G or T (powers of 1024), "
        "such as 64M"));
  }
  return count * unit;
}

std::string SizeText(int64_t bytes) {
  for (size_t power = kUnits.size(); power > 0 && bytes > 0; --power) {
    const int64_t unit = int64_t{1} << (10 * power);
    if (bytes % unit == 0) return absl::StrCat(bytes / unit, kUnits.substr(power - 1, 1));
  }
  return absl::StrCat(bytes);
}

}  // namespace deeprack
