#include "coordinator/dispatch/load_model.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/rpc/status.h"
#include "base/status_macros.h"
#include "coordinator/dispatch/worker_calls.h"

namespace deeprack::coordinator {
namespace {

// How long rank 0 may take to open a world: its driver and NCCL wake up.
constexpr auto kNewWorldWithin = std::chrono::seconds(60);

absl::StatusOr<std::string> NewWorld(ConnectedWorkerPool& workers) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kNewWorldWithin);
  cluster::NewWorldReply reply;
  const absl::Status status = FromGrpc(workers.stub(0)->NewWorld(&context, {}, &reply));
  if (!status.ok())
    return absl::Status(status.code(), absl::StrCat(workers.NameOf(0), ": ", status.message()));
  return reply.id();
}

cluster::LoadRequest RequestFor(const LoadOptions& options, const std::string& nccl_world, Rank rank) {
  cluster::LoadRequest request;
  request.set_nccl_world(nccl_world);
  request.set_epoch(options.epoch);
  request.set_rank(rank);
  request.mutable_layout()->set_tp(options.layout.tp);
  request.mutable_layout()->set_dp(options.layout.dp);
  request.mutable_layout()->set_ep(options.layout.ep);
  request.mutable_layout()->set_pp(options.layout.pp);
  request.set_model_path(options.model_path);
  request.set_compute(options.compute == DType::kF32 ? "f32" : "bf16");
  request.set_load_format(options.load_format);
  request.set_kv_cache_type(options.kv_cache_type);
  request.set_expert_exchange(options.expert_exchange);
  request.set_prefill_attention(options.prefill_attention);
  request.set_kv_bytes(options.kv_bytes);
  request.set_max_step_tokens(options.max_step_tokens);
  request.set_max_context(options.max_context);
  request.set_max_sequences(options.max_sequences);
  request.set_threads(options.threads);
  request.set_collective_timeout_ms(absl::ToInt64Milliseconds(options.collective_timeout));
  return request;
}

// What all ranks have reported so far.
class Tally {
 public:
  Tally(int ranks, const LoadProgress& progress) : latest_(ranks), progress_(progress) {}

  void Take(Rank rank, const cluster::LoadProgress& message) {
    std::lock_guard lock(mutex_);
    latest_[rank] = message;
    int64_t done = 0;
    int64_t total = 0;
    for (const cluster::LoadProgress& latest : latest_) {
      done += latest.bytes_done();
      total += latest.bytes_total();
    }
    if (progress_ != nullptr) progress_(done, total);
  }

  const cluster::LoadProgress& latest(Rank rank) const { return latest_[rank]; }

 private:
  std::mutex mutex_;
  std::vector<cluster::LoadProgress> latest_;
  const LoadProgress& progress_;
};

// Reads one rank's progress to the end.
class RankLoad final : public grpc::ClientReadReactor<cluster::LoadProgress> {
 public:
  RankLoad(Rank rank, cluster::LoadRequest request, WorkerCalls* calls, Tally* tally)
      : rank_(rank), request_(std::move(request)), calls_(calls), tally_(tally) {}

  void Start(cluster::Worker::Stub* stub) {
    stub->async()->Load(calls_->context(rank_), &request_, this);
    StartRead(&message_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone follows
    tally_->Take(rank_, message_);
    StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) override { calls_->Ended(rank_, status); }

  const Rank rank_;
  const cluster::LoadRequest request_;
  WorkerCalls* const calls_;
  Tally* const tally_;
  cluster::LoadProgress message_;
};

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(WorkerPool* pool, const LoadOptions& options,
                                      const LoadProgress& progress) {
  auto* workers = static_cast<ConnectedWorkerPool*>(pool);  // the only implementation
  if (workers->size() != options.layout.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", ToString(options.layout), " has ",
                                                   options.layout.world_size(), " ranks, and ",
                                                   workers->size(), " workers are there"));
  }
  DR_RETURN_IF_ERROR(workers->health());
  std::string nccl_world;
  if (options.over_nccl) {
    DR_ASSIGN_OR_RETURN(nccl_world, NewWorld(*workers));
  }
  Tally tally(workers->size(), progress);
  std::vector<std::unique_ptr<RankLoad>> loads;  // outlives the calls
  WorkerCalls calls(workers);
  for (Rank rank = 0; rank < workers->size(); ++rank) {
    loads.push_back(std::make_unique<RankLoad>(rank, RequestFor(options, nccl_world, rank), &calls, &tally));
    loads.back()->Start(workers->stub(rank));
  }
  DR_RETURN_IF_ERROR(calls.Wait());

  LoadedModel loaded{.kv_blocks = std::numeric_limits<int32_t>::max()};
  for (Rank rank = 0; rank < workers->size(); ++rank) {
    const cluster::LoadProgress& last = tally.latest(rank);
    if (!last.done() || last.kv_blocks() < 1) {
      return absl::InternalError(
          absl::StrCat(workers->NameOf(rank), " ended its load without saying what it holds"));
    }
    loaded.ranks.push_back({last.kv_blocks(), last.weight_bytes(), last.kv_bytes(), last.workspace_bytes()});
    loaded.kv_blocks = std::min(loaded.kv_blocks, last.kv_blocks());
  }
  return loaded;
}

}  // namespace deeprack::coordinator
