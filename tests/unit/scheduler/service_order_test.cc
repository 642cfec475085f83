// The order of service: (priority, arrival).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/scheduler/scheduler_fixture.h"
#include "tests/unit/scheduler/scheduler_peer.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Request WithPriority(int64_t priority, Request request) {
  request.priority = priority;
  return request;
}

std::vector<SequenceId> Ids(const ResolvedPlan& plan) {
  std::vector<SequenceId> ids;
  for (const SequencePlan& sequence : plan.sequences) ids.push_back(sequence.sequence);
  return ids;
}

// Runs until no sequence is left. Returns the sequences in the order in which they ended.
std::vector<SequenceId> OrderOfEnds(TestScheduler& scheduler) {
  std::vector<SequenceId> ended;
  while (auto plan = scheduler.Plan()) {
    const auto events = scheduler.Apply(Answer(*plan)).value();
    for (const TokenEvent& event : events) {
      if (event.finish != FinishReason::kNone) ended.push_back(event.sequence);
    }
  }
  return ended;
}

TEST(ServiceOrder, ASmallerPriorityIsAdmittedFirstAndEqualOnesByArrival) {
  SchedulerLimits limits = SmallLimits();
  limits.max_sequences = 1;
  TestScheduler scheduler(limits, 1);
  const int64_t priorities[] = {0, INT64_MAX, -1, 0, INT64_MIN, -1};
  for (SequenceId id = 1; id <= 6; ++id) {
    ASSERT_TRUE(scheduler.Add(id, WithPriority(priorities[id - 1], MakeRequest(10, 2, 1))).ok());
  }
  EXPECT_THAT(OrderOfEnds(scheduler), ElementsAre(5, 3, 6, 1, 4, 2));
}

TEST(ServiceOrder, AWaitingSequenceTakesNoPlaceOfARunningOne) {
  SchedulerLimits limits = SmallLimits();
  limits.max_sequences = 1;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, WithPriority(9, MakeRequest(10, 3, 1))).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());
  ASSERT_TRUE(scheduler.Add(2, WithPriority(-9, MakeRequest(10, 1, 2))).ok());
  EXPECT_THAT(OrderOfEnds(scheduler), ElementsAre(1, 2));
  EXPECT_EQ(scheduler.Stats().preemptions, 0);
}

// Of two prefills that run, the one with the smaller priority gets the step's tokens first.
TEST(ServiceOrder, PrefillsAndDecodesArePlannedInOrder) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, WithPriority(1, MakeRequest(300, 2, 1))).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());  // 256 of 300 tokens
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(400, 2, 2)).ok());
  auto plan = scheduler.Plan();
  EXPECT_EQ(Chunks(*plan), (std::map<SequenceId, int32_t>{{1, 44}, {2, 212}}));
  EXPECT_THAT(Ids(*plan), ElementsAre(1, 2)) << "sequence 2 is admitted behind the running one";
  ASSERT_TRUE(scheduler.Add(3, WithPriority(-1, MakeRequest(100, 2, 3))).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  plan = scheduler.Plan();
  EXPECT_EQ(Chunks(*plan), (std::map<SequenceId, int32_t>{{1, 1}, {2, 188}, {3, 67}}));
  ASSERT_TRUE(scheduler.Apply(Answer(*plan)).ok());
  plan = scheduler.Plan();
  EXPECT_THAT(Ids(*plan), ElementsAre(2, 3)) << "sequence 1 has ended; decodes come first";
  ASSERT_TRUE(scheduler.Apply(Answer(*plan)).ok());
}

// Four blocks for two sequences of 100 tokens: when they reach 129 tokens, one of them gives way.
TEST(ServiceOrder, TheLargestPriorityGivesWayThoughItArrivedFirst) {
  SchedulerLimits limits = SmallLimits();
  limits.blocks_per_dp_rank = 4;
  TestScheduler scheduler(limits, 1);
  ASSERT_TRUE(scheduler.Add(1, WithPriority(1, MakeRequest(100, 60, 1))).ok());
  ASSERT_TRUE(scheduler.Add(2, WithPriority(0, MakeRequest(100, 60, 2))).ok());
  auto events = RunToEnd(scheduler);
  EXPECT_EQ(scheduler.Stats().preemptions, 1);
  EXPECT_EQ(events[1].back().preemptions, 1);
  EXPECT_EQ(events[2].back().preemptions, 0);
  EXPECT_EQ(events[1].size(), 60u);
  EXPECT_EQ(events[2].size(), 60u);
}

TEST(ServiceOrder, SuspectsRunAloneInOrder) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, WithPriority(1, MakeRequest(100, 2, 1))).ok());
  ASSERT_TRUE(scheduler.Add(2, WithPriority(0, MakeRequest(100, 2, 2))).ok());
  for (Epoch epoch : {2, 3}) {
    EXPECT_THAT(Ids(scheduler.Plan().value()), ElementsAre(2, 1));
    EXPECT_THAT(scheduler.Interrupt(absl::UnavailableError("a rank was lost")), IsEmpty());
    EXPECT_THAT(scheduler.Resume(epoch, 16, 1), IsEmpty());
  }
  EXPECT_THAT(Ids(scheduler.Plan().value()), ElementsAre(2));
}

// A fault took pages, and sequence 1 gives its own up to go on. Sequence 2 has the smaller priority and fits.
TEST(ServiceOrder, AStalledSequenceHoldsNoneBackThatFits) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, WithPriority(1, MakeRequest(128, 2, 1))).ok());
  ASSERT_TRUE(scheduler.Apply(Answer(scheduler.Plan().value())).ok());
  SchedulerPeer::TakePages(scheduler.scheduler(), 14);
  ASSERT_TRUE(scheduler.Add(2, MakeRequest(100, 2, 2)).ok());
  EXPECT_THAT(OrderOfEnds(scheduler), ElementsAre(2));
  ASSERT_FALSE(scheduler.idle());
  EXPECT_EQ(scheduler.EndStalled().sequence, 1u);
  EXPECT_TRUE(scheduler.idle());
}

// Sequence 1 holds 7 of 16 pages, then 8. Sequence 2 needs 15 pages and shares 4 pages with sequence 1.
TEST(ServiceOrder, TheHeadOfTheQueueIsHashedOnce) {
  TestScheduler scheduler(SmallLimits(), 1);
  ASSERT_TRUE(scheduler.Add(1, MakeRequest(400, 60, 1)).ok());
  Request request = MakeRequest(900, 2, 2);
  const Request first = MakeRequest(256, 0, 1);
  std::copy(first.prompt.begin(), first.prompt.end(), request.prompt.begin());
  ASSERT_TRUE(scheduler.Add(2, std::move(request)).ok());
  std::vector<int64_t> hashed;  // after each plan
  std::map<SequenceId, std::vector<TokenEvent>> events;
  while (auto plan = scheduler.Plan()) {
    hashed.push_back(SchedulerPeer::PagesHashed(scheduler.scheduler()));
    auto step_events = scheduler.Apply(Answer(*plan)).value();
    for (TokenEvent& event : step_events) events[event.sequence].push_back(std::move(event));
  }
  // Plan 0 gives sequence 1 all of its tokens. In plan 1, the pool knows 4 pages of sequence 1, in plan 2 it
  // knows 6, and in plan 50 it knows the page that ends with token 448. Each time one more page of sequence 2
  // is hashed, and is not known.
  ASSERT_GT(hashed.size(), 61u);
  for (int plan = 0; plan <= 60; ++plan) {
    EXPECT_EQ(hashed[plan], plan == 0 ? 0 : plan == 1 ? 5 : plan < 50 ? 6 : 7) << "plan " << plan;
  }
  EXPECT_EQ(events[1].size(), 60u);
  EXPECT_EQ(events[2].back().cached_tokens, 256);
}

}  // namespace
}  // namespace deeprack::coordinator
