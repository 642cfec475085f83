// The state that the endpoints share. It outlives the HTTP server's threads.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <utility>

#include "base/clock.h"
#include "constraint/compiler.h"
#include "coordinator/api/event_queue.h"
#include "coordinator/api/readiness.h"
#include "coordinator/api/served_model.h"
#include "coordinator/api/serving_metrics.h"
#include "coordinator/dispatch/step_loop.h"

namespace deeprack::coordinator {

class ResponseStore;  // coordinator/api/responses/response_store.h

class ApiContext {
 public:
  // `clock` outlives this. Until SetLoop, requests that generate are refused. `event_limits` is for tests.
  ApiContext(std::shared_ptr<ServedModel> model, std::shared_ptr<ResponseStore> responses, Clock* clock,
             EventQueueLimits event_limits = {})
      : model_(std::move(model)),
        responses_(std::move(responses)),
        metrics_(model_->name),
        clock_(clock),
        event_limits_(event_limits),
        random_(std::random_device{}()) {
    if (model_->vocabulary != nullptr) constraints_ = MakeCompiler(model_->vocabulary);
  }

  const ServedModel& model() const { return *model_; }
  // Sets the model's context to `positions`, the longest sequence that the present ranks can hold.
  void SetContext(int32_t positions) { model_->max_context = positions; }
  ResponseStore& responses() { return *responses_; }
  Readiness& readiness() { return readiness_; }
  ServingMetrics& metrics() { return metrics_; }
  Clock& clock() { return *clock_; }
  const EventQueueLimits& event_limits() const { return event_limits_; }

  // Null until the cluster is ready. The loop outlives the HTTP server's threads.
  StepLoop* loop() const { return loop_.load(std::memory_order_acquire); }
  void SetLoop(StepLoop* loop) { loop_.store(loop, std::memory_order_release); }

  // Compiles the constraints of requests. Null: the model has no end token.
  constraint::Compiler* constraints() { return constraints_.get(); }

  // For request ids, and for the seeds of requests that name none. Thread-safe.
  uint64_t Random() {
    const std::lock_guard lock(random_mutex_);
    return random_();
  }

  ApiContext(const ApiContext&) = delete;

 private:
  static std::unique_ptr<constraint::Compiler> MakeCompiler(
      std::shared_ptr<const constraint::Vocabulary> vocabulary) {
    return std::make_unique<constraint::Compiler>(
        [vocabulary = std::move(vocabulary)](const model::ConstraintSpec& spec) {
          return constraint::Compile(vocabulary, spec, constraint::MaskTime::kAhead);
        },
        constraint::CompilerLimits{});
  }

  std::shared_ptr<ServedModel> model_;
  std::shared_ptr<ResponseStore> responses_;
  Readiness readiness_;
  ServingMetrics metrics_;
  Clock* clock_;
  const EventQueueLimits event_limits_;
  std::atomic<StepLoop*> loop_{nullptr};
  std::unique_ptr<constraint::Compiler> constraints_;
  std::mutex random_mutex_;
  std::mt19937_64 random_;
};

}  // namespace deeprack::coordinator
