#include "cli/bench/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>

namespace deeprack::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(RunLoad, KeepsAsManyRequestsUnderWayAsAskedFor) {
  std::mutex mutex;
  std::condition_variable changed;
  int running = 0, most = 0;
  std::set<int64_t> seen;
  const LoadResult result = RunLoad(3, 9, [&](int64_t request) {
    std::unique_lock lock(mutex);
    seen.insert(request);
    most = std::max(most, ++running);
    changed.notify_all();
    changed.wait(lock, [&] { return most == 3; });  // waits until three requests are under way at once
    --running;
    return RequestTimes{.output_tokens = request + 1};
  });
  EXPECT_EQ(most, 3);
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_EQ(result.succeeded.size(), 9u);
  EXPECT_TRUE(result.failures.empty());
  EXPECT_TRUE(result.first_error.ok());
}

TEST(RunLoad, CountsFailuresByMessage) {
  const LoadResult result = RunLoad(1, 10, [](int64_t request) -> absl::StatusOr<RequestTimes> {
    if (request % 3 == 1) return absl::ResourceExhaustedError("overloaded");
    if (request == 5) return absl::UnavailableError("gone");
    return RequestTimes{};
  });
  EXPECT_EQ(result.succeeded.size(), 6u);
  EXPECT_THAT(result.failures, ElementsAre(Pair("gone", 1), Pair("overloaded", 3)));
  EXPECT_EQ(result.first_error, absl::ResourceExhaustedError("overloaded"));
}

TEST(RunLoad, EndsSoonWhenCancelled) {
  std::atomic<int64_t> sent = 0;
  const LoadResult result = RunLoad(2, 1'000'000, [&](int64_t) -> absl::StatusOr<RequestTimes> {
    if (++sent >= 10) return absl::CancelledError("stopped");
    return RequestTimes{};
  });
  EXPECT_LE(sent, 11) << "each stream's own request is the last";
  EXPECT_TRUE(result.failures.empty());
  EXPECT_TRUE(result.first_error.ok());
}

}  // namespace
}  // namespace deeprack::cli
