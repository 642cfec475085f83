#include "cli/terminal/progress.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace deeprack::cli {

std::string Progress::Update(int64_t done, int64_t total, absl::Time now) {
  if (total <= 0 || done == last_done_) return "";
  last_done_ = done;
  const double fraction = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  const double seconds = std::max(absl::ToDoubleSeconds(now - start_), 1e-3);
  const std::string numbers = absl::StrFormat(
      "%3.0f%%  %s of %s, %s/s", std::floor(fraction * 100), format_(static_cast<double>(done)),
      format_(static_cast<double>(total)), format_(static_cast<double>(done) / seconds));
  if (terminal_) {
    constexpr int kWidth = 30;
    const int filled = static_cast<int>(fraction * kWidth);
    drawn_ = true;
    return absl::StrFormat("\r%s [%s%s] %s\x1b[K", label_, std::string(filled, '#'),
                           std::string(kWidth - filled, ' '), numbers);
  }
  const int tenth = static_cast<int>(fraction * 10);
  if (tenth <= last_tenth_) return "";
  last_tenth_ = tenth;
  return absl::StrFormat("%s %s\n", label_, numbers);
}

std::string Progress::Finish() { return drawn_ ? "\n" : ""; }

}  // namespace deeprack::cli
