// From an empty cluster to one that serves, and back: waits for the workers, has them load, starts the step
// loop. When a rank is lost or a step breaks, it does so again under the next epoch, while streams pause.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/rpc/cluster_tls.h"
#include "coordinator/api/api_context.h"
#include "coordinator/dispatch/grpc_step_executor.h"
#include "coordinator/dispatch/load_model.h"
#include "coordinator/dispatch/step_loop.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/membership/membership.h"
#include "coordinator/membership/recovery_limit.h"
#include "settings/settings.h"

namespace deeprack::coordinator {

class Cluster {
 public:
  // Opens the cluster port and goes on in a thread of its own. `context` and `clock` outlive this.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(const Settings& options, ApiContext* context,
                                                        Clock* clock);
  ~Cluster();  // Stop

  int port() const { return membership_->port(); }

  // Not OK when the cluster did not come up, or did not recover: there is nothing more to wait for.
  absl::Status Poll();

  // Ends every stream with an error; no request is taken any more.
  void EndStreams();

  // After EndStreams, with the HTTP server stopped: tells the workers to stop, and waits for them.
  void Stop();

 private:
  Cluster(const Settings& options, ApiContext* context, Clock* clock)
      : options_(options), context_(context), clock_(clock) {}

  // The ranks of one epoch, and the way to them.
  struct Ranks {
    Epoch epoch = 0;
    std::unique_ptr<WorkerPool> pool;
    std::unique_ptr<GrpcStepExecutor> executor;
  };

  // The thread's life: why there is nothing more to do.
  absl::Status Run();

  // bring_up.cc
  absl::Status BringUp();
  // `flag` is the one that says how long.
  absl::StatusOr<World> WaitForWorkers(double seconds, const char* flag);
  void Connect(const World& world);
  absl::StatusOr<LoadedModel> Load(const World& world);
  void OnLoss(const Loss& loss);

  // recovery.cc
  absl::Status AwaitBreak();
  void OnBroken(const absl::Status& why);
  absl::Status Recover(absl::Status why);
  void AnnounceWait();

  const Settings options_;
  ApiContext* const context_;
  Clock* const clock_;
  std::optional<ClusterTls> tls_;
  std::unique_ptr<Membership> membership_;
  std::atomic<bool> stopping_ = false;
  RecoveryLimit limit_;  // the thread's

  std::mutex mutex_;
  std::condition_variable changed_;
  Ranks ranks_;
  std::optional<Loss> last_loss_;
  absl::Status broken_;  // not OK: the epoch of ranks_ is over
  std::unique_ptr<StepLoop> loop_;
  absl::Status end_;  // how the thread's life ended
  std::thread thread_;
};

}  // namespace deeprack::coordinator
