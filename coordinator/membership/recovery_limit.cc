#include "coordinator/membership/recovery_limit.h"

#include "absl/strings/str_cat.h"

namespace deeprack::coordinator {

absl::Status RecoveryLimit::EpochEnded(absl::Time now, const absl::Status& why) {
  EpochGivenUp(now);
  if (++in_a_row_ <= most_in_a_row_) return absl::OkStatus();
  if (most_in_a_row_ == 0) {
    return absl::UnavailableError(absl::StrCat(why.message(), "; --recovery-limit allows no recovery"));
  }
  return absl::UnavailableError(absl::StrCat(
      "gave up: the ranks failed ", in_a_row_, " times in a row, each time before they had served for ",
      absl::FormatDuration(long_enough_), " (--recovery-limit); the last time: ", why.message()));
}

void RecoveryLimit::EpochGivenUp(absl::Time now) {
  if (ServedLongEnough(now)) in_a_row_ = 0;
  serving_since_.reset();
}

}  // namespace deeprack::coordinator
