// From an empty cluster to one that serves, and back: waits for the workers, has them load, starts the step
// loop, and notices when a rank is lost.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/rpc/cluster_tls.h"
#include "coordinator/api/api_context.h"
#include "coordinator/coordinator_options.h"
#include "coordinator/dispatch/grpc_step_executor.h"
#include "coordinator/dispatch/step_loop.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/membership/membership.h"

namespace deeprack::coordinator {

class Cluster {
 public:
  // Opens the cluster port and goes on in a thread of its own. `context` and `clock` outlive this.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(const CoordinatorOptions& options,
                                                        ApiContext* context, Clock* clock);
  ~Cluster();  // Stop

  int port() const { return membership_->port(); }

  // To be called often. Keeps readiness up to date; not OK when the cluster never came up, which is final.
  absl::Status Poll();

  // Ends every stream with an error; no request is taken any more.
  void EndStreams();

  // After EndStreams, with the HTTP server stopped: tells the workers to stop, and waits for them.
  void Stop();

 private:
  Cluster(const CoordinatorOptions& options, ApiContext* context, Clock* clock)
      : options_(options), context_(context), clock_(clock) {}

  absl::Status BringUp();
  absl::StatusOr<std::vector<Member>> WaitForWorkers();
  void OnLoss(const Loss& loss);

  const CoordinatorOptions options_;
  ApiContext* const context_;
  Clock* const clock_;
  std::optional<ClusterTls> tls_;
  std::unique_ptr<Membership> membership_;
  std::atomic<bool> stopping_ = false;

  std::mutex mutex_;
  std::unique_ptr<WorkerPool> pool_;
  std::unique_ptr<GrpcStepExecutor> executor_;
  std::unique_ptr<StepLoop> loop_;
  absl::Status bring_up_;  // how it ended
  std::thread thread_;
};

}  // namespace deeprack::coordinator
