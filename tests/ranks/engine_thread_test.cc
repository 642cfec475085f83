// Epochs of one worker: its engine, its world and its steps from one epoch to the next.
#include "worker/rpc/engine_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "tests/ranks/fake_engine.h"
#include "worker/collectives/local/local_world.h"

namespace deeprack::worker {
namespace {

// A worker whose worlds have one rank.
class EngineThreadTest : public ::testing::Test {
 protected:
  absl::StatusOr<EngineMemory> Load(Epoch epoch, Rank rank = 0) {
    std::promise<absl::StatusOr<EngineMemory>> done;
    EngineOptions options;
    options.epoch = epoch;
    options.rank = rank;
    thread_.Load(
        options, Meeting(), absl::Seconds(60), [this](int64_t, int64_t) { ++loads_; },
        [&](absl::StatusOr<EngineMemory> memory) { done.set_value(std::move(memory)); });
    return done.get_future().get();
  }
  absl::Status Execute(Epoch epoch) {
    std::promise<absl::Status> done;
    thread_.Execute(EmptyStep(epoch, ++steps_[epoch]),
                    [&](absl::StatusOr<model::RankResult> result) { done.set_value(result.status()); });
    return done.get_future().get();
  }
  static model::RankStep EmptyStep(Epoch epoch, StepId step) {
    return {.header = {.epoch = epoch, .step = step, .rows_of_group = {0}}, .group = {}};
  }
  // The results of steps that are queued together, in their order.
  std::vector<absl::StatusOr<model::RankResult>> ExecuteAll(std::vector<model::RankStep> steps) {
    std::vector<std::promise<absl::StatusOr<model::RankResult>>> done(steps.size());
    for (size_t i = 0; i < steps.size(); ++i) {
      thread_.Execute(std::move(steps[i]), [&, i](absl::StatusOr<model::RankResult> result) {
        done[i].set_value(std::move(result));
      });
    }
    std::vector<absl::StatusOr<model::RankResult>> results;
    for (auto& promise : done) results.push_back(promise.get_future().get());
    return results;
  }

  std::map<Epoch, StepId> steps_;
  std::atomic<int> loads_{0};
  std::atomic<int> joined_{0};
  EngineThread thread_{[this](const WorldRequest&) -> absl::StatusOr<std::unique_ptr<Communicator>> {
                         ++joined_;
                         return std::move(MakeLocalWorld(1, absl::Seconds(60)).front());
                       },
                       MakeFakeEngines({})};
};

TEST_F(EngineThreadTest, ALaterEpochFindsTheEngineThatIsThere) {
  ASSERT_TRUE(Load(1).ok());
  EXPECT_TRUE(Execute(1).ok());
  thread_.Abort(1);
  EXPECT_EQ(Execute(1).code(), absl::StatusCode::kAborted);

  const auto again = Load(2);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(loads_, 1);
  EXPECT_EQ(joined_, 2);
  EXPECT_TRUE(Execute(2).ok());
  EXPECT_EQ(Execute(1).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(EngineThreadTest, WhatEndedAnEarlierEpochDoesNotHarmALaterOne) {
  ASSERT_TRUE(Load(1).ok());
  ASSERT_TRUE(Load(2).ok());
  thread_.Abort(1);  // a step of epoch 1 was cancelled, and the cancellation came late
  EXPECT_TRUE(Execute(2).ok());
}

TEST_F(EngineThreadTest, AnEpochThatWasGivenUpIsNotEntered) {
  ASSERT_TRUE(Load(1).ok());
  thread_.Abort(3);  // the load of epoch 3 was cancelled before it began
  const auto given_up = Load(3);
  EXPECT_EQ(given_up.status().code(), absl::StatusCode::kAborted) << given_up.status();
  EXPECT_TRUE(Load(4).ok());
  EXPECT_TRUE(Execute(4).ok());
}

TEST_F(EngineThreadTest, AnEngineOfOtherOptionsIsReplaced) {
  ASSERT_TRUE(Load(1).ok());
  EXPECT_EQ(Load(1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(loads_, 1);
  // Rank 1 of a world of one: the load fails after the old engine was destroyed.
  EXPECT_EQ(Load(2, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Execute(2).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Load(3).ok());
  EXPECT_EQ(loads_, 2);
}

// A prompt of 3 tokens that draws 2 more. Its slot is 0.
model::OpenedSequence ShortSequence() {
  return {.slot = 0, .sequence = 9, .prompt_size = 3, .tokens = {5, 6, 7}, .end = {.max_size = 5}};
}

// `rows` rows at slot 0.
model::RankStep RowsOfSlot(StepId step, int32_t rows, model::GroupPlan group = {}) {
  group.rows = {{.slot = 0, .rows = rows}};
  return {.header = {.epoch = 1, .step = step, .rows_of_group = {rows}}, .group = std::move(group)};
}

// Each step goes on from the token of the one before it, and the coordinator hears of none in between. The
// row after the sequence's end draws nothing.
TEST_F(EngineThreadTest, StepsThatAreQueuedTogetherGoOnFromEachOthersTokens) {
  ASSERT_TRUE(Load(1).ok());
  const auto results = ExecuteAll(
      {RowsOfSlot(1, 3, {.opened = {ShortSequence()}, .pages = {{.slot = 0, .first = 0, .pages = {4}}}}),
       RowsOfSlot(2, 1), RowsOfSlot(3, 1)});
  const std::vector<std::vector<TokenId>> expected = {{1}, {3001}, {}};  // 1000 * num_computed + 2^0
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_TRUE(results[i].ok()) << results[i].status();
    EXPECT_EQ(results[i]->step, i + 1);
    ASSERT_EQ(results[i]->sequences.size(), 1u);
    EXPECT_EQ(results[i]->sequences[0].sequence, 9u);
    EXPECT_EQ(results[i]->sequences[0].tokens, expected[i]) << "step " << i + 1;
  }
  EXPECT_EQ(thread_.steps_finished(), 3u);
}

TEST_F(EngineThreadTest, ASequenceAtFaultEndsAloneAndAStepAtFaultEndsTheEpoch) {
  ASSERT_TRUE(Load(1).ok());
  const auto refused = ExecuteAll(
      {RowsOfSlot(1, 3, {.opened = {ShortSequence()}, .pages = {{.slot = 0, .first = 0, .pages = {100}}}}),
       RowsOfSlot(2, 1)});
  for (const auto& result : refused) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->sequences[0].refused, "sequence 9: block 100 of 100");
    EXPECT_TRUE(result->sequences[0].tokens.empty());
  }
  // Step 4 in place of step 3. The good step after it has the same error.
  const auto ended = ExecuteAll({EmptyStep(1, 4), EmptyStep(1, 3)});
  for (const auto& result : ended)
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << result.status();
  // The next epoch begins with empty slots and step 1.
  ASSERT_TRUE(Load(2).ok());
  EXPECT_TRUE(Execute(2).ok());
}

}  // namespace
}  // namespace deeprack::worker
