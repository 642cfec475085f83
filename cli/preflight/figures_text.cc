#include "cli/preflight/figures_text.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {

std::string TimeText(double seconds) {
  const double size = std::abs(seconds);
  if (size < 1e-3) return absl::StrFormat("%.0f us", seconds * 1e6);
  if (size < 1) return absl::StrFormat("%.1f ms", seconds * 1e3);
  return absl::StrFormat("%.2f s", seconds);
}

std::string RateText(double bytes_per_second) {
  if (bytes_per_second < 1e6) return absl::StrFormat("%.1f kB/s", bytes_per_second / 1e3);
  if (bytes_per_second < 1e9) return absl::StrFormat("%.1f MB/s", bytes_per_second / 1e6);
  return absl::StrFormat("%.1f GB/s", bytes_per_second / 1e9);
}

std::string BytesText(int64_t bytes) { return FormatBytes(static_cast<double>(bytes)); }

}  // namespace deeprack::cli
