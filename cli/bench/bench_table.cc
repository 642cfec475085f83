#include "cli/bench/bench_table.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

constexpr const char* kColumns[] = {"concurrency",    "requests",     "failed",         "output tok/s",
                                    "tok/s a stream", "prompt tok/s", "TTFT p50",       "TTFT p99",
                                    "TPOT p50",       "TPOT p99",     "drafts accepted"};

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
  const std::string cells[] = {
      absl::StrCat(row.concurrency),
      absl::StrCat(row.succeeded + row.failed),
      absl::StrCat(row.failed),
      FormatRate(s.output_rate),
      FormatRate(s.stream_rate),
      FormatRate(s.prompt_rate),
      FormatSeconds(s.first_token_p50),
      FormatSeconds(s.first_token_p99),
      FormatSeconds(s.output_token_p50),
      FormatSeconds(s.output_token_p99),
      std::isnan(s.acceptance) ? "-" : absl::StrFormat("%.1f%%", 100 * s.acceptance)};
  std::string line = "|";
  for (size_t i = 0; i < std::size(cells); ++i) {
    absl::StrAppendFormat(&line, " %*s |", static_cast<int>(std::string(kColumns[i]).size()), cells[i]);
  }
  return line + "\n";
}

}  // namespace deeprack::cli
