#include "cli/bench/bench_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace deeprack::cli {
namespace {

TEST(BenchTable, RowsStandUnderTheirHead) {
  const LevelSummary summary = {.output_rate = 1234.56,
                                .stream_rate = 19.289,
                                .prompt_rate = 512,
                                .first_token_p50 = 0.1234,
                                .first_token_p99 = 12.345,
                                .output_token_p50 = 0.00518,
                                .output_token_p99 = NAN,
                                .acceptance = 0.6789};
  const std::string head = BenchTableHead();
  const std::string row =
      BenchTableRow({.concurrency = 64, .succeeded = 126, .failed = 2, .summary = summary});
  EXPECT_EQ(row,
            "|          64 |      128 |      2 |       1234.6 |          19.29 |        512.0 | 123.4 ms |  "
            "12.35 s |"
            "  5.18 ms |        - |           67.9% |\n");
  EXPECT_EQ(head.find('\n'), row.size() - 1) << "as wide as the head";
  EXPECT_EQ(std::count(head.begin(), head.end(), '|'), 2 * std::count(row.begin(), row.end(), '|'));
}

}  // namespace
}  // namespace deeprack::cli
