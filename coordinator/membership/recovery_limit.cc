#include "coordinator/membership/recovery_limit.h"

#include "absl/strings/str_cat.h"

namespace deeprack::coordinator {

absl::Status RecoveryLimit::EpochEnded(absl::Time now, const absl::Status& why) {
  if (serving_since_ && now - *serving_since_ >= kLongEnough) in_a_row_ = 0;
  serving_since_.reset();
  if (++in_a_row_ <= kMostInARow) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "gave up: the ranks failed ", in_a_row_, " times in a row, each time before they had served for ",
      absl::FormatDuration(kLongEnough), "; the last time: ", why.message()));
}

}  // namespace deeprack::coordinator
