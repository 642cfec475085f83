// The one thread of a worker that uses the engine and makes collective calls. All other threads queue work
// for it.
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
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "worker/collectives/communicator.h"
#include "worker/engine/engine.h"
#include "worker/sequences/sequence_table.h"

namespace deeprack::worker {

// How the ranks of a load meet. With neither, they meet in the launcher's world.
struct Meeting {
  std::string nccl_world;               // the secret of NewNcclWorldId
  std::vector<std::string> gloo_world;  // the addresses of all ranks' ends (OpenGlooWorld)
};

// The world of ranks that a load joins.
struct WorldRequest {
  Epoch epoch = 0;
  Rank rank = 0;
  int size = 1;
  Meeting meeting;
  absl::Duration timeout;                                 // timeout of every collective call
  int threads = 1;                                        // threads of the host for this rank
  std::function<bool()> given_up = [] { return false; };  // true: the epoch was aborted. From any thread
};

// JoinWorld joins a world of ranks, CreateEngine makes an engine in it. The engine thread calls both,
// JoinWorld first. The worker has them from its backend (rank_backend.h), tests have their own.
using JoinWorld = std::function<absl::StatusOr<std::unique_ptr<Communicator>>(const WorldRequest&)>;
using CreateEngine = std::function<absl::StatusOr<std::unique_ptr<Engine>>(
    const EngineOptions&, Communicator* world, const Engine::Progress&)>;

class EngineThread {
 public:
  using LoadDone = std::function<void(absl::StatusOr<EngineMemory>)>;
  using StepDone = std::function<void(absl::StatusOr<model::RankResult>)>;

  EngineThread(JoinWorld join, CreateEngine create);
  ~EngineThread();  // aborts the task under way and waits for it; queued tasks end with Aborted

  // Joins the world of ranks and loads the model. When the engine of an earlier epoch suits the options
  // (Engine::Suits), that engine joins the new world instead and reads nothing. `progress` and `done` are
  // called on the engine thread, `done` exactly once. FailedPrecondition: this worker has been in that epoch
  // or a later one.
  void Load(EngineOptions options, Meeting meeting, absl::Duration collective_timeout,
            Engine::Progress progress, LoadDone done);

  // Queues a step. A step begins as soon as the step before it has ended. `done` is called exactly once: on
  // the engine thread, or on the calling thread when the engine thread is ending. FailedPrecondition: no
  // model is loaded, or the step is of another epoch. After any other error all later steps of the epoch have
  // that error.
  void Execute(model::RankStep step, StepDone done);

  // Breaks the worlds of `epoch` and of all earlier epochs. Their collective calls under way end soon, and
  // their later calls end at once. From any thread. With MPI, no later epoch can be entered after this.
  void Abort(Epoch epoch);
  // Does the same for the epoch of the last load.
  void AbortLatest();

  uint64_t steps_finished() const { return steps_finished_; }
  bool busy() const { return steps_pending_ > 0; }     // true: steps are queued or under way
  bool loading() const { return loads_pending_ > 0; }  // true: loads are queued or under way

 private:
  struct Task {
    std::function<void()> run;
    std::function<void()> refuse;  // called instead of run, when the thread ends first
  };

  void Post(Task task);
  void Run();
  absl::StatusOr<EngineMemory> LoadNow(const EngineOptions& options, const WorldRequest& world,
                                       const Engine::Progress& progress);
  absl::StatusOr<model::RankResult> ExecuteNow(model::RankStep step);
  absl::StatusOr<model::RankResult> ExecuteIn(SequenceTable& table, model::RankStep step);
  bool IsAborted(Epoch epoch);
  // Sets the world of the load under way. Aborted: its epoch was aborted.
  absl::Status Enter(std::shared_ptr<Communicator> world);

  const JoinWorld join_;
  const CreateEngine create_;
  std::atomic<uint64_t> steps_finished_{0};
  std::atomic<int> steps_pending_{0};
  std::atomic<int> loads_pending_{0};

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<Task> tasks_;
  bool ending_ = false;
  std::optional<Epoch> aborted_;         // the latest aborted epoch; all earlier ones are aborted too
  std::shared_ptr<Communicator> world_;  // the world of epoch_; written by the thread only, under mutex_
  // The epoch of the last load; written by the thread only, under mutex_.
  std::optional<Epoch> epoch_;

  // Used by the thread only.
  std::shared_ptr<Communicator> engine_world_;  // the engine has its groups: destroyed after the engine
  std::unique_ptr<Engine> engine_;
  // The sequences of the epoch, empty when it begins. nullopt: the epoch's load has not succeeded.
  std::optional<SequenceTable> table_;
  absl::Status epoch_end_;  // not OK: the error that a step of the epoch has had

  std::thread thread_;
};

}  // namespace deeprack::worker
