#include "coordinator/bring_up.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/dispatch/load_model.h"

namespace deeprack::coordinator {
namespace {

constexpr Epoch kEpoch = 1;

// The settings were checked before the workers saw them: what they find missing or wrong is the checkpoint's
// fault.
absl::Status OfWeights(const absl::Status& status) {
  if (absl::IsNotFound(status) || absl::IsInvalidArgument(status))
    return absl::DataLossError(status.message());
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(const CoordinatorOptions& options,
                                                        ApiContext* context, Clock* clock) {
  std::unique_ptr<Cluster> cluster(new Cluster(options, context, clock));
  if (!options.cluster_tls.empty()) {
    DR_ASSIGN_OR_RETURN(cluster->tls_, LoadClusterTls(options.cluster_tls));
  }
  DR_ASSIGN_OR_RETURN(cluster->membership_, Membership::Start({.listen = options.cluster_address,
                                                               .tls = cluster->tls_,
                                                               .layout = options.layout(),
                                                               .epoch = kEpoch},
                                                              clock));
  context->readiness().SetWorkers(0, cluster->membership_->expected());
  cluster->thread_ = std::thread([cluster = cluster.get()] {
    absl::Status status = cluster->BringUp();
    if (status.ok() || cluster->stopping_) return;
    cluster->context_->readiness().SetFailed(std::string(status.message()));
    const std::lock_guard lock(cluster->mutex_);
    cluster->bring_up_ = std::move(status);
  });
  return cluster;
}

Cluster::~Cluster() { Stop(); }

// In slices, so that a signal does not have to wait for workers that never come.
absl::StatusOr<std::vector<Member>> Cluster::WaitForWorkers() {
  const absl::Time deadline = clock_->Now() + absl::Seconds(options_.worker_timeout);
  for (;;) {
    absl::StatusOr<std::vector<Member>> members = membership_->WaitForWorld(absl::Milliseconds(100));
    context_->readiness().SetWorkers(membership_->joined(), membership_->expected());
    if (!absl::IsDeadlineExceeded(members.status())) return members;
    if (stopping_) return absl::CancelledError("the server is stopping");
    if (clock_->Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          members.status().message(), "; waited ", options_.worker_timeout, " seconds (--worker-timeout)"));
    }
  }
}

absl::Status Cluster::BringUp() {
  DR_ASSIGN_OR_RETURN(const std::vector<Member> members, WaitForWorkers());
  std::vector<WorkerAddress> addresses;
  std::vector<JoinedNode> nodes;
  for (const Member& member : members) {
    addresses.push_back({member.node.address, member.node.host, member.node.pid});
    nodes.push_back(member.node);
  }
  {
    const std::lock_guard lock(mutex_);
    pool_ = WorkerPool::Create(std::move(addresses), tls_);
    executor_ = std::make_unique<GrpcStepExecutor>(pool_.get());
  }
  membership_->OnLoss([this](const Loss& loss) { OnLoss(loss); });

  const LoadOptions load = {.epoch = kEpoch,
                            .layout = options_.layout(),
                            .model_path = std::filesystem::absolute(options_.model).string(),
                            .compute = options_.compute == "f32" ? DType::kF32 : DType::kBF16,
                            .kv_cache_type = options_.kv_cache_dtype,
                            .expert_exchange = options_.expert_exchange,
                            .kv_bytes = options_.kv_bytes,
                            .max_step_tokens = options_.max_step_tokens,
                            .max_context = context_->model().max_context,
                            .max_sequences = options_.max_sequences,
                            .threads = options_.threads,
                            .over_nccl = ChooseDataPlane(nodes) == DataPlane::kNccl};
  spdlog::info("all {} workers have joined ({}{}); loading {}", members.size(), nodes.front().backend,
               load.over_nccl ? ", over NCCL" : "", load.model_path);
  context_->readiness().SetLoading(0, 0);
  const auto progress = [this](int64_t done, int64_t total) {
    context_->readiness().SetLoading(done, total);
  };
  const absl::StatusOr<LoadedModel> loaded = LoadModel(pool_.get(), load, progress);
  if (!loaded.ok()) return OfWeights(loaded.status());
  const int64_t cached = int64_t{loaded->kv_blocks} * kPageTokens;
  context_->LimitContext(
      static_cast<int32_t>(std::min<int64_t>(cached, std::numeric_limits<int32_t>::max())));
  if (cached < load.max_context) {
    spdlog::warn("the KV cache holds {} tokens on each rank: sequences end there, not at {}", cached,
                 load.max_context);
  }

  const std::lock_guard lock(mutex_);
  if (stopping_) return absl::CancelledError("the server is stopping");
  DR_RETURN_IF_ERROR(pool_->health());
  loop_ = StepLoop::Start({.max_step_tokens = options_.max_step_tokens,
                           .max_sequences = options_.max_sequences,
                           .max_waiting = options_.max_waiting,
                           .max_context = context_->model().max_context,
                           .dp = options_.dp,
                           .blocks_per_dp_rank = loaded->kv_blocks},
                          kEpoch, executor_.get(), clock_);
  context_->SetLoop(loop_.get());
  context_->readiness().SetReady();
  return absl::OkStatus();
}

// On a thread of membership's.
void Cluster::OnLoss(const Loss& loss) {
  if (stopping_) return;
  const std::string why = ToString(loss);
  if (context_->readiness().snapshot().state == Readiness::State::kFailed) {
    spdlog::info("then {}", why);  // the launcher ends the others
  } else {
    spdlog::error("{}; the cluster must be started again", why);
  }
  context_->readiness().SetFailed(why);
  pool_->Lose(why);
  const std::lock_guard lock(mutex_);
  if (loop_) loop_->Fail(absl::UnavailableError(why));
}

absl::Status Cluster::Poll() {
  const std::lock_guard lock(mutex_);
  if (loop_) {
    const absl::Status health = loop_->health();
    if (!health.ok() && context_->readiness().snapshot().state == Readiness::State::kReady) {
      spdlog::error("serving has ended: {}", std::string(health.message()));
      context_->readiness().SetFailed(std::string(health.message()));
    }
  }
  return bring_up_;
}

void Cluster::EndStreams() {
  stopping_ = true;
  membership_->ExpectDepartures();
  const std::lock_guard lock(mutex_);
  if (loop_) loop_->Fail(absl::CancelledError("the server is stopping"));
}

void Cluster::Stop() {
  if (!thread_.joinable()) return;
  EndStreams();
  {
    const std::lock_guard lock(mutex_);
    if (pool_) pool_->Lose("the server is stopping");  // ends loading, or a step under way
  }
  thread_.join();
  context_->SetLoop(nullptr);
  loop_.reset();
  if (pool_) pool_->StopWorkers("the coordinator is stopping", absl::Seconds(5));
  membership_.reset();
  executor_.reset();
  pool_.reset();
}

}  // namespace deeprack::coordinator
