// A scheduler that can plan no sequence. The tests take pages away from it, as a fault of the block pool
// would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/scheduler/scheduler_fixture.h"
#include "tests/unit/scheduler/scheduler_peer.h"

namespace deeprack::coordinator {

namespace {

using ::testing::HasSubstr;

TEST(StalledScheduler, TheRequestThatFindsNoPlaceEndsAndTheOthersGoOn) {
  TestScheduler scheduler(SmallLimits(), 1);
  SchedulerPeer::TakePages(scheduler.scheduler(), 14);  // 2 of 16 pages stay
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(300, 2, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(100, 2, 2)).ok());
  ASSERT_FALSE(scheduler.Plan().has_value());
  ASSERT_FALSE(scheduler.idle());
  const TokenEvent event = scheduler.EndStalled();
  EXPECT_EQ(event.sequence, 1u);
  EXPECT_EQ(event.finish, FinishReason::kError);
  EXPECT_TRUE(absl::IsInternal(event.error)) << event.error;
  EXPECT_THAT(
      std::string(event.error.message()),
      HasSubstr("its 300 tokens take 5 pages of the KV cache, and a dp group has at most 2 of 16 free"));
  EXPECT_EQ(RunToEnd(scheduler)[2].size(), 2u);
  EXPECT_TRUE(scheduler.idle());
}

TEST(StalledScheduler, ASuspectThatFindsNoPlaceEndsAndTheOthersGoOn) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(100, 2, 1)).ok());
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(300, 2, 2)).ok());
  for (Epoch epoch : {2, 3}) {
    ASSERT_TRUE(scheduler.Plan().has_value());
    EXPECT_TRUE(scheduler.Interrupt(absl::UnavailableError("a rank was lost")).empty());
    EXPECT_TRUE(scheduler.Resume(epoch, 16, 1).empty());
  }
  SchedulerPeer::TakePages(scheduler.scheduler(), 14);
  for (auto plan = scheduler.Plan(); plan.has_value(); plan = scheduler.Plan()) {
    ASSERT_EQ(plan->sequences.front().sequence, 1u);  // the suspect 1 runs alone until its end
    ASSERT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  }
  ASSERT_FALSE(scheduler.idle());
  EXPECT_EQ(scheduler.EndStalled().sequence, 2u);
  EXPECT_TRUE(scheduler.idle());
}

}  // namespace
}  // namespace deeprack::coordinator
