#include "worker/rpc/step_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/rpc/status.h"
#include "worker/rpc/conversions.h"

namespace deeprack::worker {

// Finish is called once, when the stream has an end, no step is under way and no write is. Nothing uses the
// stream after Finish: gRPC deletes it (OnDone) when its last callback has returned.
class StepStreams::Stream final : public Reactor {
 public:
  explicit Stream(StepStreams* streams) : streams_(*streams), engine_(streams->engine_) { StartRead(&plan_); }

  void End(const absl::Status& status) {
    std::unique_lock lock(mutex_);
    if (!end_) end_ = status;
    FinishIfIdle(lock);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return End(absl::OkStatus());  // the coordinator sends no more plans
    absl::StatusOr<model::RankStep> step = Accept();
    if (!step.ok()) return End(step.status());
    engine_->Execute(*std::move(step),
                     [this](const absl::StatusOr<model::RankResult>& result) { Answer(result); });
    const std::lock_guard lock(mutex_);
    if (!finished_) StartRead(&plan_);
  }

  // The step of plan_, counted as under way.
  absl::StatusOr<model::RankStep> Accept() {
    absl::StatusOr<model::RankStep> step = RankStepFromProto(plan_);
    const std::lock_guard lock(mutex_);
    if (end_) return absl::AbortedError("the stream has ended");
    if (!step.ok()) return step;
    if (!epoch_) epoch_ = step->header.epoch;
    if (step->header.epoch != *epoch_) {
      return absl::InvalidArgumentError(absl::StrCat("step ", step->header.step, " is of epoch ",
                                                     step->header.epoch, " on a stream of epoch ", *epoch_));
    }
    if (under_way_ == kMostUnderWay) {
      return absl::ResourceExhaustedError(absl::StrCat("step ", step->header.step, " comes while ",
                                                       under_way_,
                                                       " steps are under way, the most that a rank takes"));
    }
    ++under_way_;
    return step;
  }

  // On the engine thread.
  void Answer(const absl::StatusOr<model::RankResult>& result) {
    std::unique_lock lock(mutex_);
    --under_way_;
    if (!result.ok()) {
      if (!end_ || end_->ok()) end_ = result.status();
    } else {
      RankResultToProto(*result, &results_.emplace_back());
      if (!writing_) WriteNext();
    }
    FinishIfIdle(lock);
  }

  // With mutex_ held.
  void WriteNext() {
    writing_ = !results_.empty();
    if (writing_) StartWrite(&results_.front());
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    if (ok) {
      results_.pop_front();
    } else {
      results_.clear();
    }
    WriteNext();
    FinishIfIdle(lock);
  }

  void FinishIfIdle(std::unique_lock<std::mutex>& lock) {
    if (!end_ || under_way_ > 0 || writing_ || std::exchange(finished_, true)) return;
    const grpc::Status status = ToGrpc(*end_);
    lock.unlock();
    Finish(status);
  }

  // A plan that is read after this is refused. Without steps under way no rank waits for this one, and the
  // world of ranks stays whole.
  void OnCancel() override {
    std::unique_lock lock(mutex_);
    const bool busy = under_way_ > 0;  // then there is an epoch
    const Epoch epoch = epoch_.value_or(0);
    if (!end_) end_ = absl::CancelledError("the coordinator cancelled the stream");
    lock.unlock();
    if (busy) engine_->Abort(epoch);
    lock.lock();
    FinishIfIdle(lock);
  }

  void OnDone() override {
    {
      const std::lock_guard lock(streams_.mutex_);
      streams_.open_.erase(this);
    }
    delete this;
  }

  StepStreams& streams_;
  EngineThread* const engine_;
  cluster::StepPlan plan_;  // being read

  std::mutex mutex_;
  std::optional<Epoch> epoch_;               // of the first plan
  int under_way_ = 0;                        // steps that the engine thread has
  std::deque<cluster::StepResult> results_;  // the first one is being written, if writing_
  bool writing_ = false;
  std::optional<absl::Status> end_;  // the status with which the stream ends
  bool finished_ = false;
};

StepStreams::Reactor* StepStreams::Open() {
  auto* stream = new Stream(this);
  const std::lock_guard lock(mutex_);
  open_.insert(stream);
  return stream;
}

void StepStreams::EndAll() {
  const std::lock_guard lock(mutex_);
  for (Stream* stream : open_) stream->End(absl::AbortedError("this worker is ending"));
}

}  // namespace deeprack::worker
