#include "cli/bench/level_summary.h"

#include <gtest/gtest.h>

#include <cmath>

namespace deeprack::cli {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

absl::Time At(double seconds) { return kStart + absl::Seconds(seconds); }

RequestTimes Request(double sent, double first, double last, int64_t prompt, int64_t output) {
  return {.sent = At(sent),
          .first_token = At(first),
          .last_token = At(last),
          .prompt_tokens = prompt,
          .output_tokens = output};
}

// The expected values are numpy.percentile's.
TEST(Percentile, IsNumpys) {
  EXPECT_DOUBLE_EQ(Percentile({4, 1, 3, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(Percentile({4, 1, 3, 2}, 50), 2.5);
  EXPECT_DOUBLE_EQ(Percentile({4, 1, 3, 2}, 99), 3.97);
  EXPECT_DOUBLE_EQ(Percentile({4, 1, 3, 2}, 100), 4);
  EXPECT_DOUBLE_EQ(Percentile({10, 20, 30, 40, 50}, 50), 30);
  EXPECT_DOUBLE_EQ(Percentile({7}, 99), 7);
  EXPECT_TRUE(std::isnan(Percentile({}, 50)));
}

TEST(Summarise, OneRequest) {
  // 100 prompt tokens in 2 s, then 10 more tokens in 5 s.
  const LevelSummary summary = Summarise(std::vector{Request(0, 2, 7, 100, 11)});
  EXPECT_DOUBLE_EQ(summary.prompt_rate, 50);
  EXPECT_DOUBLE_EQ(summary.output_rate, 11.0 / 7);
  EXPECT_DOUBLE_EQ(summary.stream_rate, 2);
  EXPECT_DOUBLE_EQ(summary.first_token_p50, 2);
  EXPECT_DOUBLE_EQ(summary.output_token_p50, 0.5);
  EXPECT_DOUBLE_EQ(summary.output_token_p99, 0.5);
}

TEST(Summarise, CountsTimeOfWaitingOnceHoweverManyWait) {
  // The waits are [0, 4], [1, 2] inside it, [3, 5] over its end, and [9, 10] apart from them: 6 s in all.
  const LevelSummary summary = Summarise(std::vector{Request(9, 10, 11, 60, 2), Request(0, 4, 12, 60, 2),
                                                     Request(1, 2, 12, 60, 2), Request(3, 5, 8, 60, 2)});
  EXPECT_DOUBLE_EQ(summary.prompt_rate, 240.0 / 6);
  EXPECT_DOUBLE_EQ(summary.output_rate, 8.0 / 12) << "from the first sending to the last token";
  EXPECT_DOUBLE_EQ(summary.first_token_p50, 1.5) << "of 1, 1, 2, 4";
}

TEST(Summarise, OneTokenHasNoTimePerToken) {
  const LevelSummary summary = Summarise(std::vector{Request(0, 1, 1, 5, 1)});
  EXPECT_TRUE(std::isnan(summary.output_token_p50));
  EXPECT_TRUE(std::isnan(summary.stream_rate));
  EXPECT_DOUBLE_EQ(summary.output_rate, 1);
}

TEST(Summarise, AcceptanceIsOfAllDrafts) {
  RequestTimes one = Request(0, 1, 2, 5, 4), other = one;
  one.accepted_drafts = 2;
  one.rejected_drafts = 1;
  other.rejected_drafts = 2;
  EXPECT_DOUBLE_EQ(Summarise(std::vector{one, other}).acceptance, 0.4);
  EXPECT_TRUE(std::isnan(Summarise(std::vector{Request(0, 1, 2, 5, 4)}).acceptance));
}

TEST(Summarise, NothingIsKnownWithoutRequests) {
  const LevelSummary summary = Summarise({});
  EXPECT_TRUE(std::isnan(summary.output_rate));
  EXPECT_TRUE(std::isnan(summary.prompt_rate));
  EXPECT_TRUE(std::isnan(summary.first_token_p99));
}

}  // namespace
}  // namespace deeprack::cli
