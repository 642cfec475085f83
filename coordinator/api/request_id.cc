#include "coordinator/api/request_id.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace deeprack::coordinator {

bool IsRequestId(absl::string_view text) {
  constexpr size_t kMostBytes = 128;
  constexpr absl::string_view kMarks = "-_.:/+=";
  return !text.empty() && text.size() <= kMostBytes && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(c) || kMarks.find(c) != kMarks.npos;
  });
}

std::string RequestIds::Make() {
  const std::lock_guard lock(mutex_);
  return absl::StrCat(absl::Hex(random_(), absl::kZeroPad16), absl::Hex(random_(), absl::kZeroPad16));
}

}  // namespace deeprack::coordinator
