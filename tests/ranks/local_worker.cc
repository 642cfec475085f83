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
    absl::StatusOr<worker::EngineOptions> options = worker::EngineOptionsFromProto(request);
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
            progress(message);
          });
        });
    return Handle(call, request.epoch());
  }

  std::unique_ptr<WorkerClient::Call> ExecuteStep(const cluster::StepPlan& plan, cluster::StepResult* result,
                                                  Done done) override {
    const auto call = process_->Start(std::move(done));
    if (call == nullptr) return Handle(call, 0);
    process_->engine->Execute(worker::StepPlanFromProto(plan),
                              [call, result](const absl::StatusOr<model::StepResult>& answer) {
                                call->End(answer.status(), [&] {
                                  if (answer.ok()) worker::StepResultToProto(*answer, result);
                                });
                              });
    return Handle(call, plan.epoch());
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
