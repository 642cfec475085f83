#include "tests/ranks/local_worker.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/collectives/local/local_world.h"
#include "worker/rpc/conversions.h"

namespace deeprack {

using coordinator::WorkerClient;

std::string LocalWorlds::Open() {
  const std::lock_guard lock(mutex_);
  return absl::StrCat("world ", ++opened_);
}

absl::StatusOr<std::unique_ptr<worker::Communicator>> LocalWorlds::Join(const worker::WorldRequest& request) {
  const std::lock_guard lock(mutex_);
  auto& world = worlds_[request.meeting.nccl_world];
  if (world.empty()) world = worker::MakeLocalWorld(request.size, request.timeout);
  if (world[request.rank] == nullptr) return absl::AbortedError("this rank has joined its world before");
  return std::move(world[request.rank]);
}

// A call that ends once: with its answer, by Cancel, or by the death of the process.
class LocalWorker::Call {
 public:
  explicit Call(WorkerClient::Done done) : done_(std::move(done)) {}

  // Ends the call; `take` fills in the reply first. Does nothing if the call has ended.
  void End(
      const absl::Status& status, const std::function<void()>& take = [] {}) {
    WorkerClient::Done done;
    {
      const std::lock_guard lock(mutex_);
      if (done_ == nullptr) return;
      take();
      done = std::exchange(done_, nullptr);
    }
    done(status);
  }

  void Report(const std::function<void()>& report) {
    const std::lock_guard lock(mutex_);
    if (done_ != nullptr) report();
  }

 private:
  std::mutex mutex_;
  WorkerClient::Done done_;  // null: the call has ended
};

struct LocalWorker::Process {
  Process(LocalWorlds* worlds, worker::FakeBehaviour behaviour)
      : worlds(worlds),
        engine(std::make_unique<worker::EngineThread>(
            [worlds](const worker::WorldRequest& request) { return worlds->Join(request); },
            worker::MakeFakeEngines(std::move(behaviour)))) {}

  // Returns a new call. If the process is dead, calls `done` and returns nullptr.
  std::shared_ptr<Call> Start(WorkerClient::Done done) {
    auto call = std::make_shared<Call>(std::move(done));
    {
      const std::lock_guard lock(mutex);
      if (!dead) {
        calls.push_back(call);
        return call;
      }
    }
    call->End(absl::UnavailableError("the process is gone"));
    return nullptr;
  }

  LocalWorlds* const worlds;
  const std::unique_ptr<worker::EngineThread> engine;
  constraint::VocabularyKeeper vocabularies;
  std::atomic<bool> told_to_stop = false;
  std::mutex mutex;
  bool dead = false;
  std::vector<std::shared_ptr<Call>> calls;
};

class LocalWorker::Client final : public WorkerClient {
 public:
  explicit Client(std::shared_ptr<Process> process) : process_(std::move(process)) {}

  std::unique_ptr<WorkerClient::Call> NewWorld(const cluster::NewWorldRequest&, absl::Duration,
                                               cluster::NewWorldReply* reply, Done done) override {
    const auto call = process_->Start(std::move(done));
    if (call != nullptr) call->End(absl::OkStatus(), [&] { reply->set_id(process_->worlds->Open()); });
    return Handle(call, 0);
  }

  std::unique_ptr<WorkerClient::Call> Load(const cluster::LoadRequest& request, OnProgress progress,
                                           Done done) override {
    const auto call = process_->Start(std::move(done));
    if (call == nullptr) return Handle(call, 0);
    absl::StatusOr<worker::EngineOptions> options =
        worker::EngineOptionsFromProto(request, process_->vocabularies);
    if (!options.ok()) {
      call->End(options.status());
      return Handle(call, 0);
    }
    process_->engine->Load(
        *std::move(options), worker::MeetingFromProto(request),
        absl::Milliseconds(request.collective_timeout_ms()),
        [call, progress](int64_t bytes_done, int64_t bytes_total) {
          cluster::LoadProgress message;
          message.set_bytes_done(bytes_done);
          message.set_bytes_total(bytes_total);
          call->Report([&] { progress(message); });
        },
        [call, progress](const absl::StatusOr<worker::EngineMemory>& loaded) {
          call->End(loaded.status(), [&] {
            if (!loaded.ok()) return;
            cluster::LoadProgress message;
            message.set_done(true);
            message.set_kv_blocks(loaded->kv_blocks);
            message.set_speculative_tokens(loaded->speculative_tokens);
            progress(message);
          });
        });
    return Handle(call, request.epoch());
  }

  std::unique_ptr<WorkerClient::StepStream> Steps(OnResult on_result, Done done) override {
    return std::make_unique<StepsHandle>(process_, process_->Start(std::move(done)), std::move(on_result));
  }

  std::unique_ptr<WorkerClient::Call> Stop(const cluster::StopRequest&, absl::Duration, Done done) override {
    process_->told_to_stop = true;
    const auto call = process_->Start(std::move(done));
    if (call != nullptr) call->End(absl::OkStatus());
    return Handle(call, 0);
  }

 private:
  // The call as the caller holds it.
  class CallHandle final : public WorkerClient::Call {
   public:
    CallHandle(std::shared_ptr<Process> process, std::shared_ptr<LocalWorker::Call> call, Epoch epoch)
        : process_(std::move(process)), call_(std::move(call)), epoch_(epoch) {}
    void Cancel() override {
      if (call_ == nullptr) return;
      call_->End(absl::CancelledError("cancelled"));
      if (epoch_ > 0) process_->engine->Abort(epoch_);
    }

   private:
    const std::shared_ptr<Process> process_;
    const std::shared_ptr<LocalWorker::Call> call_;
    const Epoch epoch_;
  };

  // The stream of steps as the caller holds it. Results may come after the caller has let go of the stream.
  class StepsHandle final : public WorkerClient::StepStream {
   public:
    StepsHandle(std::shared_ptr<Process> process, std::shared_ptr<LocalWorker::Call> call, OnResult on_result)
        : process_(std::move(process)),
          state_(std::make_shared<State>(std::move(call), std::move(on_result))) {}

    void Send(std::shared_ptr<const std::string> plan) override {
      if (state_->call == nullptr) return;
      cluster::StepPlan message;
      absl::StatusOr<model::RankStep> step = absl::InternalError("the plan is no message");
      if (message.ParseFromString(*plan)) step = worker::RankStepFromProto(message);
      if (!step.ok()) return state_->call->End(step.status());
      {
        const std::lock_guard lock(state_->mutex);
        state_->epoch = step->header.epoch;
        ++state_->under_way;
      }
      process_->engine->Execute(
          *std::move(step),
          [state = state_](const absl::StatusOr<model::RankResult>& result) { state->Answer(result); });
    }

    void EndPlans() override {
      if (state_->call == nullptr) return;
      const std::shared_ptr<State> state = state_;  // the end of the call may destroy this object
      if (state->IsOver(0, /*no_more=*/true)) state->call->End(absl::OkStatus());
    }

    void Cancel() override {
      if (state_->call == nullptr) return;
      Epoch epoch = 0;
      {
        const std::lock_guard lock(state_->mutex);
        epoch = state_->epoch;
      }
      const std::shared_ptr<Process> process = process_;  // the end of the call may destroy this object
      state_->call->End(absl::CancelledError("cancelled"));
      if (epoch > 0) process->engine->Abort(epoch);
    }

   private:
    struct State {
      State(std::shared_ptr<LocalWorker::Call> call, OnResult on_result)
          : call(std::move(call)), on_result(std::move(on_result)) {}

      // Counts answers; no_more: there are no more plans. True: the stream is over.
      bool IsOver(int answers, bool no_more) {
        const std::lock_guard lock(mutex);
        under_way -= answers;
        ended |= no_more;
        return ended && under_way == 0;
      }

      // On the engine thread.
      void Answer(const absl::StatusOr<model::RankResult>& result) {
        if (!result.ok()) return call->End(result.status());
        cluster::StepResult message;
        worker::RankResultToProto(*result, &message);
        call->Report([&] { on_result(std::move(message)); });
        if (IsOver(1, /*no_more=*/false)) call->End(absl::OkStatus());
      }

      const std::shared_ptr<LocalWorker::Call> call;  // null: the process was dead
      const OnResult on_result;
      std::mutex mutex;
      Epoch epoch = 0;  // of the last step; 0: none was sent
      int under_way = 0;
      bool ended = false;  // no more plans
    };

    const std::shared_ptr<Process> process_;
    const std::shared_ptr<State> state_;
  };

  std::unique_ptr<WorkerClient::Call> Handle(std::shared_ptr<LocalWorker::Call> call, Epoch epoch) const {
    return std::make_unique<CallHandle>(process_, std::move(call), epoch);
  }

  const std::shared_ptr<Process> process_;
};

class LocalWorker::Stream final : public coordinator::AttachStream {
 public:
  void Welcome(Rank, Epoch epoch) override { epoch_ = epoch; }
  void Dismiss(const std::string&) override {}

 private:
  std::atomic<Epoch> epoch_ = 0;
};

LocalWorker::LocalWorker(int64_t pid, LocalWorlds* worlds, worker::FakeBehaviour behaviour)
    : pid_(pid),
      process_(std::make_shared<Process>(worlds, std::move(behaviour))),
      stream_(std::make_unique<Stream>()) {}

LocalWorker::~LocalWorker() { Die(); }

absl::Status LocalWorker::Join(coordinator::AttachHandler* handler) {
  const absl::StatusOr<int> member = handler->OnHello({.host = "here",
                                                       .pid = pid_,
                                                       .address = "none",
                                                       .backend = "cpu",
                                                       .card = absl::StrCat("card ", pid_),
                                                       .nccl = true},
                                                      stream_.get());
  if (!member.ok()) return member.status();
  const std::lock_guard lock(mutex_);
  handler_ = handler;
  member_ = *member;
  return absl::OkStatus();
}

absl::Status LocalWorker::Beat() {
  const std::lock_guard lock(mutex_);
  if (ended_) return absl::UnavailableError("the process is gone");
  if (handler_ == nullptr) return absl::OkStatus();
  return handler_->OnHeartbeat(member_, process_->engine->steps_finished(), process_->engine->busy());
}

void LocalWorker::Die() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ended_, true)) return;
  }
  std::vector<std::shared_ptr<Call>> calls;
  {
    const std::lock_guard lock(process_->mutex);
    process_->dead = true;
    calls.swap(process_->calls);
  }
  for (const auto& call : calls) call->End(absl::UnavailableError("the process is gone"));
  process_->engine->Abort(UINT64_MAX);
  if (handler_ != nullptr) handler_->OnEnd(member_, "its connection broke", /*on_purpose=*/false);
}

std::unique_ptr<WorkerClient> LocalWorker::MakeClient() { return std::make_unique<Client>(process_); }

bool LocalWorker::was_told_to_stop() const { return process_->told_to_stop; }

}  // namespace deeprack
