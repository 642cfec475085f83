// Epochs of one worker: its engine, its world and its steps from one epoch to the next.
#include "worker/rpc/engine_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>

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
    thread_.Execute({.epoch = epoch},
                    [&](absl::StatusOr<model::StepResult> result) { done.set_value(result.status()); });
    return done.get_future().get();
  }

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

}  // namespace
}  // namespace deeprack::worker
