#include "coordinator/cluster.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/dispatch/grpc_worker_client.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/slow_rank_watch.h"
#include "settings/setting.h"

namespace deeprack::coordinator {
namespace {

// The settings were checked before the workers saw them. So a file that a worker finds missing or wrong is a
// fault of the checkpoint.
absl::Status OfWeights(const absl::Status& status) {
  if (absl::IsNotFound(status) || absl::IsInvalidArgument(status))
    return absl::DataLossError(status.message());
  return status;
}

}  // namespace

std::unique_ptr<WorkerPool> Cluster::ConnectOverGrpc(const World& world,
                                                     const std::optional<ClusterTls>& tls) {
  std::vector<WorkerAddress> addresses;
  for (const Member& member : world.members) {
    addresses.push_back({member.node.address, member.node.host, member.node.pid});
  }
  return ConnectWorkers(addresses, tls);
}

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(const Settings& options, ApiContext* context,
                                                        Clock* clock, Connect connect) {
  std::unique_ptr<Cluster> cluster(new Cluster(options, context, clock, std::move(connect)));
  DR_RETURN_IF_ERROR(CheckPlanSize(cluster->Limits()));
  if (options.load_progress_timeout <= options.collective_timeout) {
    return absl::FailedPreconditionError(
        absl::StrCat("load-progress-timeout is ", options.load_progress_timeout,
                     " seconds and collective-timeout ", options.collective_timeout,
                     ": a rank that waits for another rank while it loads would be lost first. Make "
                     "load-progress-timeout longer"));
  }
  if (options.slow_rank_timeout > 0 && cluster->layouts_.size() < 2) {
    return absl::FailedPreconditionError(
        absl::StrCat("slow-rank-timeout is ", options.slow_rank_timeout,
                     " seconds, and there is one layout, in which no rank can be spared. Name a smaller layout "
                     "in ",
                     FlagOf(&Settings::layouts), ", or leave slow-rank-timeout out"));
  }
  if (!options.cluster_tls.empty()) {
    DR_ASSIGN_OR_RETURN(cluster->tls_, LoadClusterTls(options.cluster_tls));
  }
  DR_ASSIGN_OR_RETURN(cluster->membership_,
                      Membership::Start({.listen = options.cluster_address,
                                         .tls = cluster->tls_,
                                         .layouts = cluster->layouts_,
                                         .reform = options.recovery_timeout > 0,
                                         .load_options = DigestOfLoad(cluster->LoadOptionsOf())},
                                        clock));
  cluster->membership_->OnLoss([cluster = cluster.get()](const Loss& loss) { cluster->OnLoss(loss); });
  context->readiness().SetWorkers(0, cluster->membership_->expected());
  cluster->thread_ = std::thread([cluster = cluster.get()] {
    absl::Status status = cluster->Run();
    if (status.ok() || cluster->stopping_) return;
    cluster->context_->readiness().SetFailed(std::string(status.message()));
    const std::lock_guard lock(cluster->mutex_);
    if (cluster->loop_) cluster->loop_->Fail(status);
    cluster->end_ = std::move(status);
  });
  return cluster;
}

Cluster::~Cluster() { Stop(); }

absl::Status Cluster::Run() {
  DR_RETURN_IF_ERROR(BringUp());
  while (true) {
    limit_.ServingBegan(clock_->Now());
    const Break end = AwaitBreak();
    if (stopping_) return absl::OkStatus();
    if (!end.planned) context_->metrics().ObserveLoss();
    if (options_.recovery_timeout == 0) {
      spdlog::error("{}; the cluster must be started again", std::string(end.why.message()));
      context_->readiness().SetFailed(std::string(end.why.message()));
      loop_->Fail(end.why);
      return absl::OkStatus();
    }
    DR_RETURN_IF_ERROR(Recover(end));
  }
}

absl::Status Cluster::BringUp() {
  DR_ASSIGN_OR_RETURN(const World world, WaitForWorkers(options_.worker_timeout, "--worker-timeout"));
  UseRanks(world);
  DR_ASSIGN_OR_RETURN(const LoadedModel loaded, Load(world));
  SchedulerLimits limits = InLayout(Limits(), loaded.kv_blocks, world.layout.dp);
  limits.drafts = DraftsOf(world, loaded);
  const std::lock_guard lock(mutex_);
  if (stopping_) return absl::CancelledError("the server is stopping");
  DR_RETURN_IF_ERROR(ranks_.pool->health());
  loop_ = StepLoop::Start(limits, ranks_.epoch, ranks_.executor.get(), clock_,
                          [this](const absl::Status& why) { OnBroken(why); });
  context_->metrics().SetCacheType(options_.kv_cache_dtype);
  context_->SetLoop(loop_.get());
  context_->readiness().SetReady();
  return absl::OkStatus();
}

// Waits in slices of 100 ms, so that Stop ends the wait soon. When the time is over, forms the largest layout
// that has its workers.
absl::StatusOr<World> Cluster::WaitForWorkers(double seconds, const char* flag) {
  const absl::Time deadline = clock_->Now() + absl::Seconds(seconds);
  for (;;) {
    absl::StatusOr<World> world = membership_->WaitForWorld(absl::Milliseconds(100));
    context_->readiness().SetWorkers(membership_->joined(), membership_->expected(), membership_->missing());
    if (!absl::IsDeadlineExceeded(world.status())) return world;
    if (stopping_) return absl::CancelledError("the server is stopping");
    if (clock_->Now() >= deadline) {
      if (membership_->FormLargestFilled()) continue;
      return absl::DeadlineExceededError(
          absl::StrCat(world.status().message(), "; waited ", seconds, " seconds (", flag, ")"));
    }
  }
}

SchedulerLimits Cluster::Limits() const {
  const int32_t most_dp = std::ranges::max(layouts_, {}, &model::Layout::dp).dp;
  const bool expands = options_.prefill_attention == "expanded" && context_->model().latent_attention;
  return {
      .max_step_tokens = options_.max_step_tokens,
      .prefill_tokens_beside_decodes = options_.prefill_tokens_beside_decodes,
      .max_sequences = options_.max_sequences,
      .max_waiting = options_.max_waiting,
      .max_context = max_context_,
      .dp = most_dp,
      .prefill_attention = expands ? model::PrefillAttention::kExpanded : model::PrefillAttention::kAbsorbed,
      .steps_under_way = options_.steps_under_way};
}

DraftLimits Cluster::DraftsOf(const World& world, const LoadedModel& loaded) const {
  const bool on_cpu = world.members.front().node.backend == "cpu";
  return {.most = loaded.speculative_tokens,
          .adapts = options_.speculative_tokens == "auto",
          .layers = context_->model().layers,
          .rows_per_read = on_cpu ? kRowsPerReadOfCpu : kRowsPerReadOfCard};
}

void Cluster::UseRanks(const World& world) {
  Ranks ranks{.epoch = world.epoch, .pool = connect_(world, tls_)};
  std::vector<std::string> hosts;
  for (const Member& member : world.members) hosts.push_back(member.node.host);
  auto watch = std::make_shared<SlowRankWatch>(
      world.layout, std::move(hosts), context_,
      [this, epoch = world.epoch](const std::vector<SlowRank>& slow) { OnSlow(epoch, slow); });
  ranks.executor = std::make_unique<RankStepExecutor>(
      ranks.pool.get(), world.layout, context_->model().vocab_size,
      [watch = std::move(watch)](const model::StepHeader& step,
                                 const std::vector<model::StepTimings>& timings) {
        watch->Add(step, timings);
      });
  const std::lock_guard lock(mutex_);
  ranks_ = std::move(ranks);
  broken_ = absl::OkStatus();
  slow_.clear();
  if (stopping_) ranks_.pool->Lose("the server is stopping");
  if (last_loss_ && last_loss_->epoch == ranks_.epoch) ranks_.pool->Lose(ToString(*last_loss_));
}

LoadOptions Cluster::LoadOptionsOf() const {
  return {.layout = layouts_.front(),
          .model_path = std::filesystem::absolute(options_.model).string(),
          .compute = options_.compute == "f32" ? DType::kF32 : DType::kBF16,
          .load_format = options_.load_format,
          .kv_cache_type = options_.kv_cache_dtype,
          .expert_exchange = options_.expert_exchange,
          .prefill_attention = options_.prefill_attention,
          .speculative_tokens = model::SpeculativeTokensOf(options_.speculative_tokens),
          .kv_bytes = options_.kv_bytes,
          .max_step_tokens = options_.max_step_tokens,
          .max_context = max_context_,
          .max_sequences = options_.max_sequences,
          .threads = options_.threads,
          .collective_timeout = absl::Seconds(options_.collective_timeout),
          .progress_timeout = absl::Seconds(options_.load_progress_timeout)};
}

std::shared_ptr<const TokenTable> Cluster::TokensOf(const ServedModel& model) {
  if (model.vocabulary == nullptr) return nullptr;
  return std::make_shared<const TokenTable>(
      TokenTable{TokenTexts(model), model.eos_token_ids, model.vocab_size});
}

absl::StatusOr<LoadedModel> Cluster::Load(const World& world) {
  std::vector<JoinedNode> nodes;
  for (const Member& member : world.members) nodes.push_back(member.node);
  const DataPlane plane = ChooseDataPlane(nodes);
  LoadOptions load = LoadOptionsOf();
  load.epoch = world.epoch;
  load.layout = world.layout;
  load.tokens = tokens_;
  load.over_nccl = plane == DataPlane::kNccl;
  load.over_gloo = plane == DataPlane::kGloo;
  spdlog::info("all {} ranks of epoch {} are there ({}{}); loading {}", nodes.size(), world.epoch,
               nodes.front().backend,
               load.over_nccl   ? ", over NCCL"
               : load.over_gloo ? ", over gloo"
                                : "",
               load.model_path);
  if (load.load_format == "dummy") {
    spdlog::warn("the weights are dummies ({} dummy): answers are noise, for trials only",
                 FlagOf(&Settings::load_format));
  }
  context_->readiness().SetLoading(0, 0);
  const LoadEvents events = {
      .progress = [this](int64_t done, int64_t total) { context_->readiness().SetLoading(done, total); },
      // A stalled worker still sends heartbeats, so membership does not notice the stall. Expel reports the
      // losses through OnLoss, as every loss is reported.
      .stalled =
          [this, epoch = world.epoch](std::map<Rank, std::string> why) {
            for (auto& [rank, reason] : why) {
              absl::StrAppend(&reason, " (", FlagOf(&Settings::load_progress_timeout), ")");
            }
            membership_->Expel(epoch, why);
          },
  };
  absl::StatusOr<LoadedModel> loaded = LoadModel(ranks_.pool.get(), load, clock_, events);
  if (!loaded.ok()) return OfWeights(loaded.status());
  const int64_t cached = int64_t{loaded->kv_blocks} * kPageTokens;
  context_->SetContext(static_cast<int32_t>(std::min<int64_t>(max_context_, cached)));
  if (cached < load.max_context) {
    spdlog::warn("the KV cache holds {} tokens on each rank: sequences end there, not at {}", cached,
                 load.max_context);
  }
  return loaded;
}

// Called on a thread of membership, or by Load.
void Cluster::OnLoss(const Loss& loss) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  // After the first loss the launcher ends the other ranks.
  if (!broken_.ok()) spdlog::info("then {}", ToString(loss));
  last_loss_ = loss;
  if (loss.epoch != ranks_.epoch) return;  // the ranks of loss.epoch are not connected yet
  ranks_.pool->Lose(ToString(loss));
  if (broken_.ok()) broken_ = absl::UnavailableError(ToString(loss));
  changed_.notify_all();
}

// Runs on the step loop's thread, once in each window of LateRanks.
void Cluster::OnSlow(Epoch epoch, const std::vector<SlowRank>& slow) {
  if (options_.slow_rank_timeout == 0) return;
  const std::lock_guard lock(mutex_);
  if (epoch != ranks_.epoch) return;
  slow_.clear();
  for (const SlowRank& rank : slow) {
    if (rank.seconds >= options_.slow_rank_timeout) slow_[rank.rank] = rank.share;
  }
}

absl::Status Cluster::Poll() {
  const std::lock_guard lock(mutex_);
  return end_;
}

void Cluster::EndStreams() {
  membership_->ExpectDepartures();
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  if (loop_) loop_->Fail(absl::CancelledError("the server is stopping"));
}

void Cluster::Stop() {
  if (!thread_.joinable()) return;
  EndStreams();
  {
    const std::lock_guard lock(mutex_);
    if (ranks_.pool) ranks_.pool->Lose("the server is stopping");  // ends a load or a step that is under way
  }
  thread_.join();
  context_->SetLoop(nullptr);
  loop_.reset();
  if (options_.stop_workers) {
    membership_->Dismiss("the coordinator is stopping");
    if (ranks_.pool) ranks_.pool->StopWorkers("the coordinator is stopping", absl::Seconds(5));
  }
  membership_.reset();
  ranks_.executor.reset();  // before the pool
  ranks_ = {};
}

}  // namespace deeprack::coordinator
