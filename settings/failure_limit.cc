#include "settings/failure_limit.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace deeprack {
namespace {

constexpr int32_t kMostTimes = 1000;
constexpr double kMostMinutes = 1440;  // a day

}  // namespace

absl::StatusOr<FailureLimit> ParseFailureLimit(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  FailureLimit limit;
  if (!absl::SimpleAtoi(parts.first, &limit.times) || limit.times < 0 || limit.times > kMostTimes ||
      !absl::SimpleAtod(parts.second, &limit.minutes) ||
      !(limit.minutes >= 0 && limit.minutes <= kMostMinutes)) {
    return absl::InvalidArgumentError(absl::StrCat("must be TIMES/MINUTES, such as 5/5, with 0 to ",
                                                   kMostTimes, " times and 0 to ", kMostMinutes, " minutes"));
  }
  return limit;
}

std::string FailureLimitText(const FailureLimit& limit) {
  return absl::StrCat(limit.times, "/", limit.minutes);
}

}  // namespace deeprack
