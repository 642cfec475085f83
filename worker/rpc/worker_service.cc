#include "worker/rpc/worker_service.h"

#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "base/rpc/status.h"
#include "spdlog/spdlog.h"
#include "worker/rpc/conversions.h"

namespace deeprack::worker {
namespace {

// Streams the progress of one load: at most one message every kReportEvery. Deletes itself.
class LoadReactor final : public grpc::ServerWriteReactor<cluster::LoadProgress> {
 public:
  LoadReactor(EngineThread* engine, Epoch epoch) : engine_(engine), epoch_(epoch) {}

  // Report and End are called on the engine thread.
  void Report(int64_t bytes_done, int64_t bytes_total) {
    const auto now = std::chrono::steady_clock::now();
    std::lock_guard lock(mutex_);
    if (writing_ || now - last_report_ < kReportEvery) return;
    last_report_ = now;
    message_.set_bytes_done(bytes_done);
    message_.set_bytes_total(bytes_total);
    writing_ = true;
    StartWrite(&message_);
  }

  void End(const absl::StatusOr<EngineMemory>& loaded) {
    std::unique_lock lock(mutex_);
    if (loaded.ok()) {
      last_message_ = message_;
      last_message_.set_done(true);
      last_message_.set_bytes_done(message_.bytes_total());
      last_message_.set_kv_blocks(loaded->kv_blocks);
      last_message_.set_weight_bytes(loaded->weight_bytes);
      last_message_.set_kv_bytes(loaded->kv_bytes);
      last_message_.set_workspace_bytes(loaded->workspace_bytes);
      last_message_.set_speculative_tokens(loaded->speculative_tokens);
    }
    ending_ = ToGrpc(loaded.status());
    if (writing_) return;
    lock.unlock();
    FinishNow();
  }

 private:
  static constexpr auto kReportEvery = std::chrono::milliseconds(100);

  // Call this without holding mutex_: gRPC may delete this object before the call returns.
  void FinishNow() {
    if (ending_->ok()) {
      StartWriteAndFinish(&last_message_, {}, *ending_);
    } else {
      Finish(*ending_);
    }
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    if (!ending_) return;
    lock.unlock();
    FinishNow();
  }
  void OnCancel() override { engine_->Abort(epoch_); }
  void OnDone() override { delete this; }

  EngineThread* const engine_;
  const Epoch epoch_;
  std::mutex mutex_;
  cluster::LoadProgress message_, last_message_;
  bool writing_ = false;
  std::optional<grpc::Status> ending_;
  std::chrono::steady_clock::time_point last_report_{};
};

}  // namespace

WorkerService::WorkerService(EngineThread* engine, int default_threads, Events events)
    : engine_(engine), default_threads_(default_threads), events_(std::move(events)), streams_(engine) {}

grpc::ServerUnaryReactor* WorkerService::NewWorld(grpc::CallbackServerContext* context,
                                                  const cluster::NewWorldRequest* request,
                                                  cluster::NewWorldReply* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<std::string> id =
      events_.new_world
          ? events_.new_world({.over = request->over(),
                               .epoch = request->epoch(),
                               .rank = request->rank(),
                               .size = request->size()})
          : absl::FailedPreconditionError("this worker meets others in its launcher's world only");
  if (id.ok()) response->set_id(*std::move(id));
  reactor->Finish(ToGrpc(id.status()));
  return reactor;
}

grpc::ServerWriteReactor<cluster::LoadProgress>* WorkerService::Load(grpc::CallbackServerContext*,
                                                                     const cluster::LoadRequest* request) {
  auto* reactor = new LoadReactor(engine_, request->epoch());
  absl::StatusOr<EngineOptions> options = EngineOptionsFromProto(*request, vocabularies_);
  const LoadMemory memory = {.epoch = request->epoch(),
                             .rank = request->rank(),
                             .options = request->options(),
                             .over_nccl = !request->nccl_world().empty()};
  if (!options.ok()) {
    events_.on_loaded(options.status(), memory);
    reactor->End(options.status());
    return reactor;
  }
  if (options->threads == 0) options->threads = default_threads_;
  spdlog::info("loading {} as rank {} of {}", options->model_path, options->rank, ToString(options->layout));
  engine_->Load(
      *std::move(options), MeetingFromProto(*request), absl::Milliseconds(request->collective_timeout_ms()),
      [reactor](int64_t done, int64_t total) { reactor->Report(done, total); },
      [this, reactor, memory](absl::StatusOr<EngineMemory> loaded) {
        events_.on_loaded(loaded.status(), memory);
        reactor->End(loaded);
      });
  return reactor;
}

StepStreams::Reactor* WorkerService::Steps(grpc::CallbackServerContext*) { return streams_.Open(); }

grpc::ServerUnaryReactor* WorkerService::Stop(grpc::CallbackServerContext* context,
                                              const cluster::StopRequest* request, cluster::StopReply*) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  events_.on_stop(request->reason());
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace deeprack::worker
