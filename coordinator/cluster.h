// Brings the cluster up: waits for the workers, has them load the model, and starts the step loop. When a
// rank is lost or a step breaks, the cluster comes up again under the next epoch, while streams pause.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/rpc/cluster_tls.h"
#include "coordinator/api/api_context.h"
#include "coordinator/dispatch/late_ranks.h"
#include "coordinator/dispatch/load_model.h"
#include "coordinator/dispatch/rank_step_executor.h"
#include "coordinator/dispatch/step_loop.h"
#include "coordinator/dispatch/worker_pool.h"
#include "coordinator/membership/membership.h"
#include "coordinator/membership/recovery_limit.h"
#include "settings/settings.h"

namespace deeprack::coordinator {

class Cluster {
 public:
  // Makes the clients for the workers of a world.
  using Connect =
      std::function<std::unique_ptr<WorkerPool>(const World& world, const std::optional<ClusterTls>& tls)>;
  static std::unique_ptr<WorkerPool> ConnectOverGrpc(const World& world,
                                                     const std::optional<ClusterTls>& tls);

  // Opens the cluster port and continues in a thread of its own. `context` and `clock` outlive this. Errors:
  // InvalidArgument (under these limits a step's plan is larger than a message), and the errors of the port
  // and of its certificates.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(const Settings& options, ApiContext* context,
                                                        Clock* clock, Connect connect = ConnectOverGrpc);
  ~Cluster();  // calls Stop

  int port() const { return membership_->port(); }
  Membership& membership() { return *membership_; }

  // Returns an error when the cluster did not come up or did not recover. After an error it never serves
  // again.
  absl::Status Poll();

  // Ends every stream with an error, and refuses every later request.
  void EndStreams();

  // Call it after EndStreams, when the HTTP server has stopped. Tells the workers to stop, and waits for
  // them. With stop_workers off the workers are not told, and keep their weights for the next coordinator.
  void Stop();

 private:
  Cluster(const Settings& options, ApiContext* context, Clock* clock, Connect connect)
      : options_(options),
        layouts_(options.layouts.empty() ? std::vector{options.layout()} : options.layouts),
        context_(context),
        clock_(clock),
        connect_(std::move(connect)),
        max_context_(context->model().max_context),
        tokens_(TokensOf(context->model())) {}

  static std::shared_ptr<const TokenTable> TokensOf(const ServedModel& model);

  // The ranks of one epoch.
  struct Ranks {
    Epoch epoch = 0;
    std::unique_ptr<WorkerPool> pool;
    std::unique_ptr<RankStepExecutor> executor;
  };

  // The body of the thread. Returns the reason why the cluster serves no longer.
  absl::Status Run();
  // The limits of the layout with the most dp groups, without the number of pages, which the ranks report.
  SchedulerLimits Limits() const;
  // What loaded ranks can draft, and what drafts cost them.
  DraftLimits DraftsOf(const World& world, const LoadedModel& loaded) const;

  // The options of every load in the largest layout, without epoch and world.
  LoadOptions LoadOptionsOf() const;
  absl::Status BringUp();
  // `flag` is the name of the setting behind `seconds`.
  absl::StatusOr<World> WaitForWorkers(double seconds, const char* flag);
  void UseRanks(const World& world);
  absl::StatusOr<LoadedModel> Load(const World& world);
  void OnLoss(const Loss& loss);
  void OnSlow(Epoch epoch, const std::vector<SlowRank>& slow);

  // In cluster_recovery.cc.
  struct Break {
    absl::Status why;
    // No rank was lost: a larger layout has its workers, or slow ranks are drained.
    bool planned = false;
    std::map<Rank, double> slow;  // the ranks to drain, with their shares (SlowRank)
  };
  Break AwaitBreak();
  void OnBroken(const absl::Status& why);
  absl::Status Recover(Break first);
  void AnnounceWait();

  const Settings options_;
  const std::vector<model::Layout> layouts_;  // that may be formed, the largest first; at least one
  ApiContext* const context_;
  Clock* const clock_;
  const Connect connect_;
  const int32_t max_context_;  // of the model and the settings; the KV cache may hold fewer positions
  // What the ranks of every epoch are told for constraints. Null: the model has no end token.
  const std::shared_ptr<const TokenTable> tokens_;
  std::optional<ClusterTls> tls_;
  std::unique_ptr<Membership> membership_;
  std::atomic<bool> stopping_ = false;
  // Used by the thread only.
  RecoveryLimit limit_{options_.recovery_limit.times, absl::Minutes(options_.recovery_limit.minutes)};

  std::mutex mutex_;
  std::condition_variable changed_;
  Ranks ranks_;
  std::optional<Loss> last_loss_;
  std::map<Rank, double> slow_;  // ranks_ that have been slow for slow_rank_timeout, with their shares
  absl::Status broken_;          // not OK: the epoch of ranks_ is over
  std::unique_ptr<StepLoop> loop_;
  absl::Status end_;  // the reason why the thread ended
  std::thread thread_;
};

}  // namespace deeprack::coordinator
