#include "coordinator/dispatch/step_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/unit/scheduler/scheduler_fixture.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;

// Limits under which a sequence can run longer than any test.
SchedulerLimits LongLimits() {
  SchedulerLimits limits = SmallLimits();
  limits.max_context = 6'000'000;
  limits.blocks_per_dp_rank = 100'000;
  limits.steps_under_way = 2;
  return limits;
}

// Answers at once. While it is held, Receive waits.
class HeldExecutor final : public StepExecutor {
 public:
  HeldExecutor() : ranks_(LongLimits()) {}

  absl::Status Send(const model::StepPlan& plan) override {
    plans_.push_back(plan);
    most_under_way_ = std::max(most_under_way_, std::ssize(plans_));
    return absl::OkStatus();
  }
  absl::StatusOr<model::StepResult> Receive() override {
    std::unique_lock lock(mutex_);
    inside_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    inside_ = false;
    if (!error_.ok()) return error_;
    const model::StepResult result = Answer(ranks_.Begin(plans_.front())).Joined();
    ranks_.Accept(result);
    plans_.pop_front();
    return result;
  }
  void Hold() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void WaitUntilInside() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return inside_; });
  }
  void LetGo(absl::Status error = absl::OkStatus()) {
    std::lock_guard lock(mutex_);
    held_ = false;
    error_ = std::move(error);
    changed_.notify_all();
  }
  // After the loop has ended.
  int64_t most_under_way() const { return most_under_way_; }

 private:
  // Used by the loop's thread only.
  RankTables ranks_;
  std::deque<model::StepPlan> plans_;
  int64_t most_under_way_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool inside_ = false;
  absl::Status error_;
};

// Collects one sequence's events and waits for the last event.
class Stream {
 public:
  EventSink sink() {
    return [this](TokenEvent event) {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(finished_) << "an event after the last one";
      finished_ = event.finish != FinishReason::kNone;
      events_.push_back(std::move(event));
      changed_.notify_all();
    };
  }
  const std::vector<TokenEvent>& WaitForEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finished_; });
    return events_;
  }
  void WaitForFirst() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !events_.empty(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<TokenEvent> events_;
  bool finished_ = false;
};

class StepLoopTest : public ::testing::Test {
 protected:
  void Start(SchedulerLimits limits = SmallLimits()) {
    loop_ = StepLoop::Start(limits, 1, &executor_, &clock_);
  }
  HeldExecutor executor_;
  SystemClock clock_;
  std::unique_ptr<StepLoop> loop_;
};

TEST_F(StepLoopTest, ServesARequest) {
  Start();
  Stream stream;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 4), stream.sink()).ok());
  const auto& events = stream.WaitForEnd();
  EXPECT_EQ(events.size(), 4u);
  EXPECT_EQ(events.back().finish, FinishReason::kLength);
  EXPECT_EQ(loop_->Stats().generation_tokens, 4);
  EXPECT_EQ(loop_->Stats().running, 0);
  EXPECT_TRUE(loop_->health().ok());
}

TEST_F(StepLoopTest, KeepsAsManyStepsUnderWayAsItMay) {
  for (const int32_t steps : {1, 2}) {
    SchedulerLimits limits = LongLimits();
    limits.steps_under_way = steps;
    HeldExecutor executor;
    loop_ = StepLoop::Start(limits, 1, &executor, &clock_);
    Stream stream;
    ASSERT_TRUE(loop_->Submit(MakeRequest(10, 50), stream.sink()).ok());
    EXPECT_EQ(stream.WaitForEnd().size(), 50u);
    loop_.reset();
    EXPECT_EQ(executor.most_under_way(), steps);
  }
}

TEST_F(StepLoopTest, ServesManyThreads) {
  SchedulerLimits limits = SmallLimits();
  limits.steps_under_way = 2;
  Start(limits);
  std::vector<std::thread> clients;
  std::atomic<int64_t> tokens = 0;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      for (int i = 0; i < 25; ++i) {
        Stream stream;
        const auto id = loop_->Submit(MakeRequest(50 + i, 5, client), stream.sink());
        ASSERT_TRUE(id.ok());
        if (i % 5 == 4) loop_->Cancel(*id);
        tokens += static_cast<int64_t>(stream.WaitForEnd().size());
        loop_->Cancel(*id);  // the sequence has ended, so this does nothing
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GE(tokens, 4 * 20 * 5);
  EXPECT_EQ(loop_->Stats().blocks_used, 0);
}

TEST_F(StepLoopTest, RefusesWhatCannotRunAndWhatIsTooMuch) {
  SchedulerLimits limits = SmallLimits();
  limits.max_waiting = 2;
  limits.max_sequences = 1;
  Start(limits);
  Stream unused;
  EXPECT_EQ(loop_->Submit(MakeRequest(5000, 1), unused.sink()).status().code(),
            absl::StatusCode::kInvalidArgument);

  executor_.Hold();
  Stream running, first, second;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 2), running.sink()).ok());
  executor_.WaitUntilInside();
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 2), first.sink()).ok());
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 2), second.sink()).ok());
  EXPECT_EQ(loop_->Stats().waiting, 2);
  const auto refused = loop_->Submit(MakeRequest(10, 2), unused.sink());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  executor_.LetGo();
  EXPECT_EQ(second.WaitForEnd().size(), 2u);
}

TEST_F(StepLoopTest, CancelsARunningSequence) {
  Start(LongLimits());
  Stream stream;
  const auto id = loop_->Submit(MakeRequest(10, 5'000'000), stream.sink());
  stream.WaitForFirst();
  loop_->Cancel(*id);
  EXPECT_EQ(stream.WaitForEnd().back().finish, FinishReason::kCancelled);
  // Its pages are free when no step under way has rows of it.
  while (loop_->Stats().blocks_used > 0) absl::SleepFor(absl::Milliseconds(1));
}

TEST_F(StepLoopTest, AnExecutorErrorEndsEveryStreamOnce) {
  Start();
  executor_.Hold();
  Stream running, waiting;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 5), running.sink()).ok());
  executor_.WaitUntilInside();
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 5), waiting.sink()).ok());
  executor_.LetGo(absl::AbortedError("rank 3 was lost"));
  for (Stream* stream : {&running, &waiting}) {
    const auto& events = stream->WaitForEnd();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].finish, FinishReason::kError);
    EXPECT_EQ(events[0].error.message(), "rank 3 was lost");
  }
  EXPECT_EQ(loop_->health().message(), "rank 3 was lost");
  const auto refused = loop_->Submit(MakeRequest(10, 5), running.sink());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refused.status().message(), HasSubstr("rank 3 was lost"));
}

TEST_F(StepLoopTest, FailFromOutsideHoldsWhileAStepIsUnderWay) {
  Start();
  executor_.Hold();
  Stream stream;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 5), stream.sink()).ok());
  executor_.WaitUntilInside();
  loop_->Fail(absl::UnavailableError("worker 1 is gone"));
  EXPECT_EQ(loop_->health().message(), "worker 1 is gone");
  EXPECT_EQ(loop_->Submit(MakeRequest(10, 5), stream.sink()).status().code(), absl::StatusCode::kUnavailable);
  executor_.LetGo();  // the step succeeds, but serving has ended
  const auto& events = stream.WaitForEnd();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].error.message(), "worker 1 is gone");
}

TEST_F(StepLoopTest, TheFirstFailureIsTheOneReported) {
  Start();
  loop_->Fail(absl::UnavailableError("first"));
  loop_->Fail(absl::UnavailableError("second"));
  EXPECT_EQ(loop_->health().message(), "first");
}

// A loop that suspends after a broken step. The fixture keeps the reason.
class RecoveringStepLoopTest : public StepLoopTest {
 protected:
  void StartRecovering(SchedulerLimits limits = SmallLimits()) {
    loop_ = StepLoop::Start(limits, 1, &executor_, &clock_, [this](const absl::Status& why) {
      std::lock_guard lock(mutex_);
      broken_ = why;
      changed_.notify_all();
    });
  }
  absl::Status WaitForBreak() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !broken_.ok(); });
    return std::exchange(broken_, absl::OkStatus());
  }
  HeldExecutor other_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status broken_;
};

TEST_F(RecoveringStepLoopTest, ABrokenStepIsTakenUpByOtherRanks) {
  StartRecovering();
  executor_.Hold();
  Stream running, waiting, refused;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 5), running.sink()).ok());
  executor_.WaitUntilInside();
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 5), waiting.sink()).ok());
  executor_.LetGo(absl::AbortedError("rank 3 was lost"));
  EXPECT_EQ(WaitForBreak().message(), "rank 3 was lost");
  loop_->Suspend(absl::AbortedError("rank 3 was lost"));
  const auto answer = loop_->Submit(MakeRequest(10, 5), refused.sink()).status();
  EXPECT_EQ(answer.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(answer.message(), HasSubstr("rank 3 was lost"));
  EXPECT_TRUE(loop_->health().ok());
  EXPECT_EQ(loop_->Stats().waiting, 2);
  loop_->Resume(2, &other_, 16, 1);
  for (Stream* stream : {&running, &waiting}) {
    EXPECT_EQ(stream->WaitForEnd().size(), 5u);
    EXPECT_EQ(stream->WaitForEnd().back().finish, FinishReason::kLength);
  }
}

TEST_F(RecoveringStepLoopTest, SuspendWaitsForTheStepsAndKeepsTheirTokens) {
  StartRecovering(LongLimits());
  executor_.Hold();
  Stream stream;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 3), stream.sink()).ok());
  executor_.WaitUntilInside();
  std::atomic<bool> suspended = false;
  std::thread loss([&] {
    loop_->Suspend(absl::UnavailableError("worker 1 is gone"));
    suspended = true;
  });
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_FALSE(suspended);
  executor_.LetGo();  // the ranks answered after all
  loss.join();
  EXPECT_EQ(loop_->Stats().generation_tokens, 2);
  loop_->Resume(2, &other_, 100, 1);
  EXPECT_EQ(stream.WaitForEnd().size(), 3u);
}

TEST_F(RecoveringStepLoopTest, CancelWorksWhileSuspended) {
  StartRecovering(LongLimits());
  Stream stream;
  const auto id = loop_->Submit(MakeRequest(10, 5'000'000), stream.sink());
  stream.WaitForFirst();
  loop_->Suspend(absl::UnavailableError("worker 1 is gone"));
  loop_->Cancel(*id);
  EXPECT_EQ(stream.WaitForEnd().back().finish, FinishReason::kCancelled);
  EXPECT_EQ(loop_->Stats().waiting, 0);
}

TEST_F(RecoveringStepLoopTest, GivingUpEndsEveryStreamOnce) {
  StartRecovering(LongLimits());
  Stream stream;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 5'000'000), stream.sink()).ok());
  stream.WaitForFirst();
  loop_->Suspend(absl::UnavailableError("worker 1 is gone"));
  loop_->Fail(absl::UnavailableError("gave up"));
  EXPECT_EQ(stream.WaitForEnd().back().error.message(), "gave up");
  loop_->Resume(2, &other_, 100, 1);  // serving has ended, so this does nothing
  EXPECT_EQ(loop_->health().message(), "gave up");
}

TEST_F(RecoveringStepLoopTest, LossesOneAfterTheOther) {
  StartRecovering(LongLimits());
  Stream stream;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 20'000), stream.sink()).ok());
  StepExecutor* executors[] = {&other_, &executor_};
  for (Epoch epoch = 2; epoch < 40; ++epoch) {
    loop_->Suspend(absl::UnavailableError("lost"));
    loop_->Resume(epoch, executors[epoch % 2], 1000, 1);
  }
  EXPECT_EQ(stream.WaitForEnd().size(), 20'000u);
}

TEST_F(StepLoopTest, StoppingEndsLiveStreams) {
  Start(LongLimits());
  Stream stream;
  ASSERT_TRUE(loop_->Submit(MakeRequest(10, 5'000'000), stream.sink()).ok());
  stream.WaitForFirst();
  loop_.reset();
  const TokenEvent last = stream.WaitForEnd().back();
  EXPECT_EQ(last.finish, FinishReason::kError);
  EXPECT_EQ(last.error.code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace deeprack::coordinator
