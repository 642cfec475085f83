#include "cli/terminal/terminal.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "absl/strings/str_format.h"

namespace deeprack::cli {

bool IsTerminal(int fd) { return isatty(fd) == 1; }

Style StyleOfStandardOutput() {
  const char* no_color = std::getenv("NO_COLOR");
  return {.colours = IsTerminal(STDOUT_FILENO) && (no_color == nullptr || no_color[0] == '\0')};
}

std::string FormatBytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return absl::StrFormat("%.*f %s", unit == 0 ? 0 : 1, bytes, kUnits[unit]);
}

std::string FormatCount(double count) {
  return absl::StrFormat(count == std::floor(count) ? "%.0f" : "%.1f", count);
}

std::string FormatSeconds(double seconds) {
  if (std::isnan(seconds)) return "-";
  if (seconds < 0.01) return absl::StrFormat("%.2f ms", seconds * 1e3);
  if (seconds < 1) return absl::StrFormat("%.1f ms", seconds * 1e3);
  return absl::StrFormat("%.2f s", seconds);
}

std::string FormatRate(double rate) {
  if (std::isnan(rate)) return "-";
  return absl::StrFormat(rate < 100 ? "%.2f" : "%.1f", rate);
}

std::string FormatRanks(int64_t ranks) {
  return absl::StrFormat("%d %s", ranks, ranks == 1 ? "rank" : "ranks");
}

}  // namespace deeprack::cli
