#include "coordinator/dispatch/load_watch.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr absl::Duration kTimeout = absl::Seconds(120);

class LoadWatchTest : public testing::Test {
 protected:
  // Checks once a second.
  std::vector<Rank> After(int seconds) {
    std::vector<Rank> stalled;
    for (int i = 0; i < seconds && stalled.empty(); ++i) {
      now_ += absl::Seconds(1);
      stalled = watch_.Stalled(now_);
    }
    return stalled;
  }

  absl::Time now_ = absl::UnixEpoch();
  LoadWatch watch_{3, kTimeout, now_};
};

TEST_F(LoadWatchTest, ProgressCountsAndNotTheTimeOfTheWhole) {
  for (int hour = 0; hour < 60; ++hour) {
    EXPECT_THAT(After(60), IsEmpty());
    for (Rank rank : {0, 1, 2}) watch_.Report(rank, {hour, 60}, now_);
  }
  EXPECT_EQ(watch_.sum().done, 3 * 59);
  EXPECT_EQ(watch_.sum().total, 180);
}

TEST_F(LoadWatchTest, ARankThatReportsNothingForTheTimeoutIsStalled) {
  EXPECT_THAT(After(60), IsEmpty());
  watch_.Report(0, {1, 10}, now_);
  watch_.Report(2, {4, 10}, now_);
  watch_.Ended(2);
  EXPECT_THAT(After(60), IsEmpty());
  EXPECT_THAT(After(1), ElementsAre(1));
  EXPECT_EQ(watch_.Describe(1), "its load has made no progress for 2m and had not begun to read");
  watch_.Report(1, {1, 10}, now_);
  EXPECT_THAT(After(60), ElementsAre(0));
  EXPECT_EQ(watch_.Describe(0), "its load has made no progress for 2m at 1 of 10 bytes");
}

TEST_F(LoadWatchTest, AReportWithTheSameBytesIsProgress) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(After(100), IsEmpty());
    for (Rank rank : {0, 1, 2}) watch_.Report(rank, {5, 10}, now_);
  }
}

TEST_F(LoadWatchTest, ImpossibleNumbersAreClamped) {
  watch_.Report(0, {INT64_MAX, INT64_MAX}, now_);
  watch_.Report(1, {INT64_MAX, INT64_MAX}, now_);
  watch_.Report(2, {INT64_MIN, -1}, now_);
  EXPECT_GT(watch_.sum().done, 0);
  EXPECT_GT(watch_.sum().total, 0);
}

TEST_F(LoadWatchTest, APauseOfThisProcessIsNoFaultOfTheRanks) {
  now_ += absl::Hours(1);
  EXPECT_THAT(watch_.Stalled(now_), IsEmpty());
  EXPECT_THAT(After(120), IsEmpty());
  EXPECT_THAT(After(1), ElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace deeprack::coordinator
