#include "cli/bench/bench_table.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace deeprack::cli {
namespace {

constexpr const char* kColumns[] = {"concurrency",  "requests", "failed",   "output tok/s", "tok/s a stream",
                                    "prompt tok/s", "TTFT p50", "TTFT p99", "TPOT p50",     "TPOT p99"};

std::string RateText(double rate) {
  if (std::isnan(rate)) return "-";
  return absl::StrFormat(rate < 100 ? "%.2f" : "%.1f", rate);
}

std::string TimeText(double seconds) {
  if (std::isnan(seconds)) return "-";
  if (seconds < 0.01) return absl::StrFormat("%.2f ms", seconds * 1e3);
  if (seconds < 1) return absl::StrFormat("%.1f ms", seconds * 1e3);
  return absl::StrFormat("%.2f s", seconds);
}

}  // namespace

std::string BenchTableHead() {
  std::string names = "|", rule = "|";
  for (const std::string name : kColumns) {
    absl::StrAppend(&names, " ", name, " |");
    absl::StrAppend(&rule, std::string(name.size() + 1, '-'), ":|");
  }
  return absl::StrCat(names, "\n", rule, "\n");
}

std::string BenchTableRow(const BenchRow& row) {
  const LevelSummary& s = row.summary;
  const std::string cells[] = {absl::StrCat(row.concurrency), absl::StrCat(row.succeeded + row.failed),
                               absl::StrCat(row.failed),      RateText(s.output_rate),
                               RateText(s.stream_rate),       RateText(s.prompt_rate),
                               TimeText(s.first_token_p50),   TimeText(s.first_token_p99),
                               TimeText(s.output_token_p50),  TimeText(s.output_token_p99)};
  std::string line = "|";
  for (size_t i = 0; i < std::size(cells); ++i) {
    absl::StrAppendFormat(&line, " %*s |", static_cast<int>(std::string(kColumns[i]).size()), cells[i]);
  }
  return line + "\n";
}

}  // namespace deeprack::cli
