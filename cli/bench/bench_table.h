// The table of results in Markdown: one line for each concurrency level, aligned for the terminal. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "cli/bench/level_summary.h"

namespace deeprack::cli {

struct BenchRow {
  int32_t concurrency = 0;
  int64_t succeeded = 0;
  int64_t failed = 0;
  LevelSummary summary;
};

// Both end with a newline. A value that was not measured is "-".
std::string BenchTableHead();
std::string BenchTableRow(const BenchRow& row);

}  // namespace deeprack::cli
