// The one thread of a worker that touches the engine and makes collective calls. Everything else hands it
// work.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"
#include "worker/engine/engine.h"

namespace deeprack::worker {

// The world of ranks that a load is for.
struct WorldRequest {
  Rank rank = 0;
  int size = 1;
  std::string nccl_world;  // as NewNcclWorldId made it; empty: as the launcher made it
  absl::Duration timeout;  // of every call
  int threads = 1;         // of the host, for this rank
};

// How this worker meets its peers, and how it makes an engine: MPI and Engine::Create, or a test's own. Both
// are called on the engine's thread, the first before the second.
using JoinWorld = std::function<absl::StatusOr<std::unique_ptr<Communicator>>(const WorldRequest&)>;
using CreateEngine = std::function<absl::StatusOr<std::unique_ptr<Engine>>(
    const EngineOptions&, Communicator* world, const Engine::Progress&)>;

class EngineThread {
 public:
  using LoadDone = std::function<void(absl::StatusOr<EngineMemory>)>;
  using ExecuteDone = std::function<void(absl::StatusOr<model::StepResult>)>;

  EngineThread(JoinWorld join, CreateEngine create);
  ~EngineThread();  // aborts what is under way and waits for it; what is queued ends with Aborted

  // Joins the world of ranks and loads the model; or, where the engine at hand suits the options but for the
  // epoch, meets the new world with it and reads nothing. `progress` and `done` are called on this thread;
  // `done` exactly once. FailedPrecondition: this worker has been in that epoch or a later one.
  void Load(EngineOptions options, const std::string& nccl_world, absl::Duration collective_timeout,
            Engine::Progress progress, LoadDone done);

  // Queues a step; `done` is called exactly once, mostly on this thread. FailedPrecondition: no model is
  // loaded, or the plan is of another epoch.
  void Execute(model::StepPlan plan, ExecuteDone done);

  // Breaks the world of an epoch and of those before it for good: calls under way end soon, and later ones at
  // once. From any thread. With MPI no later epoch can be entered then.
  void Abort(Epoch epoch);

  uint64_t steps_finished() const { return steps_finished_; }
  bool busy() const { return steps_pending_ > 0; }  // with steps

 private:
  struct Task {
    std::function<void()> run;
    std::function<void()> refuse;  // instead of run, when the thread ends first
  };

  void Post(Task task);
  void Run();
  absl::StatusOr<EngineMemory> LoadNow(const EngineOptions& options, const WorldRequest& world,
                                       const Engine::Progress& progress);
  absl::StatusOr<model::StepResult> ExecuteNow(const model::StepPlan& plan);
  // The world of the load under way; Aborted, if its epoch was.
  absl::Status Enter(std::shared_ptr<Communicator> world);

  const JoinWorld join_;
  const CreateEngine create_;
  std::atomic<uint64_t> steps_finished_{0};
  std::atomic<int> steps_pending_{0};

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<Task> tasks_;
  bool ending_ = false;
  std::optional<Epoch> aborted_;         // this one and those before it
  std::shared_ptr<Communicator> world_;  // of epoch_; replaced under mutex_, by the thread only
  std::optional<Epoch> epoch_;           // of the last load; likewise

  // The thread's own.
  std::shared_ptr<Communicator> engine_world_;  // whose groups the engine has: goes after it
  std::unique_ptr<Engine> engine_;

  std::thread thread_;
};

}  // namespace deeprack::worker
