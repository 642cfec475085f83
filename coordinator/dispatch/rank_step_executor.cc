#include "coordinator/dispatch/rank_step_executor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/dispatch/conversions.h"
#include "coordinator/dispatch/join_step_results.h"

namespace deeprack::coordinator {
namespace {

// How long ranks may take to end their streams after their last step. Ranks whose streams are cancelled break
// their world instead.
constexpr absl::Duration kEndMayTake = absl::Seconds(1);

// Results of one rank that wait for those of others. More than the steps under way are none that were asked
// for.
constexpr int64_t kMostAnswers = 4;

}  // namespace

RankStepExecutor::RankStepExecutor(WorkerPool* pool, const model::Layout& layout, int32_t vocab_size,
                                   OnStep on_step)
    : pool_(pool),
      layout_(layout),
      vocab_size_(vocab_size),
      on_step_(std::move(on_step)),
      answers_(pool->size()) {}

RankStepExecutor::~RankStepExecutor() {
  if (calls_ == nullptr) return;
  if (failed_.ok() && under_way_.empty()) {
    for (WorkerClient::StepStream* stream : streams_) stream->EndPlans();
    (void)calls_->SettledWithin(kEndMayTake);
  }
  calls_->Cancel();
  (void)calls_->Wait();
}

void RankStepExecutor::OpenStreams() {
  calls_ = std::make_unique<WorkerCalls>(pool_);
  streams_.resize(pool_->size());
  for (Rank rank = 0; rank < pool_->size(); ++rank) {
    calls_->Start(rank, [&](WorkerClient::Done done) {
      auto stream = pool_->client(rank).Steps(
          [this, rank](cluster::StepResult result) { TakeResult(rank, std::move(result)); },
          [this, done = std::move(done)](const absl::Status& status) {
            {
              const std::lock_guard lock(mutex_);
              ended_ = true;
              changed_.notify_all();
            }
            done(status);  // the destructor waits for this
          });
      streams_[rank] = stream.get();
      return stream;
    });
  }
}

void RankStepExecutor::TakeResult(Rank rank, cluster::StepResult result) {
  {
    const std::lock_guard lock(mutex_);
    if (std::ssize(answers_[rank]) < kMostAnswers) {
      answers_[rank].push_back(std::move(result));
      changed_.notify_all();
      return;
    }
  }
  streams_[rank]->Cancel();  // the rank sends results that nobody asked for
}

absl::Status RankStepExecutor::Send(const model::StepPlan& plan) {
  DR_RETURN_IF_ERROR(failed_);
  failed_ = pool_->health();
  DR_RETURN_IF_ERROR(failed_);
  DR_CHECK(std::ssize(plan.groups) == layout_.dp);
  if (calls_ == nullptr) OpenStreams();
  if (AnyStreamEnded()) return failed_ = WhyEnded();
  under_way_.push_back(plan.header);
  for (int32_t group = 0; group < layout_.dp; ++group) {
    const std::shared_ptr<const std::string> bytes = EncodeStep(plan, group);
    for (Rank rank = 0; rank < layout_.world_size(); ++rank) {
      if (CoordinatesOf(layout_, rank).dp_rank == group) streams_[rank]->Send(bytes);
    }
  }
  return absl::OkStatus();
}

bool RankStepExecutor::AnyStreamEnded() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

absl::Status RankStepExecutor::WhyEnded() {
  const absl::Status why = calls_->Wait();
  return why.ok() ? absl::UnavailableError("the ranks ended their steps") : why;
}

absl::StatusOr<model::StepResult> RankStepExecutor::Receive() {
  DR_RETURN_IF_ERROR(failed_);
  DR_CHECK(!under_way_.empty());
  const auto receive = [this]() -> absl::StatusOr<model::StepResult> {
    DR_ASSIGN_OR_RETURN(std::vector<model::RankResult> by_rank, AwaitAnswers());
    return JoinStepResults(under_way_.front(), std::move(by_rank), layout_, vocab_size_);
  };
  absl::StatusOr<model::StepResult> result = receive();
  if (!result.ok()) {
    failed_ = result.status();
    return failed_;
  }
  if (on_step_) on_step_(under_way_.front(), result->rank_timings);
  under_way_.pop_front();
  return result;
}

absl::StatusOr<std::vector<model::RankResult>> RankStepExecutor::AwaitAnswers() {
  std::vector<cluster::StepResult> messages;
  {
    std::unique_lock lock(mutex_);
    const auto all_there = [this] {
      return std::none_of(answers_.begin(), answers_.end(),
                          [](const auto& of_rank) { return of_rank.empty(); });
    };
    changed_.wait(lock, [&] { return ended_ || all_there(); });
    if (all_there()) {
      for (auto& of_rank : answers_) {
        messages.push_back(std::move(of_rank.front()));
        of_rank.pop_front();
      }
    }
  }
  if (messages.empty()) return WhyEnded();
  std::vector<model::RankResult> by_rank;
  by_rank.reserve(messages.size());
  for (size_t rank = 0; rank < messages.size(); ++rank) {
    absl::StatusOr<model::RankResult> result = RankResultFromProto(messages[rank]);
    if (!result.ok()) {
      return absl::InternalError(absl::StrCat("rank ", rank, ": ", result.status().message()));
    }
    by_rank.push_back(*std::move(result));
  }
  return by_rank;
}

}  // namespace deeprack::coordinator
