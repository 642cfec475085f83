#include "coordinator/dispatch/load_model.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/fnv.h"
#include "base/status_macros.h"
#include "coordinator/dispatch/load_watch.h"
#include "coordinator/dispatch/worker_calls.h"

namespace deeprack::coordinator {
namespace {

// The longest time that a rank takes to open a world. Over NCCL its driver and NCCL start.
constexpr absl::Duration kNewWorldWithin = absl::Seconds(60);

constexpr absl::Duration kCheckEvery = absl::Milliseconds(50);

// What the ranks need in Load to meet each other.
struct NewWorld {
  std::string nccl;
  std::vector<std::string> gloo;
};

// Has the first `openers` ranks open a world. Returns their answers.
absl::StatusOr<std::vector<std::string>> OpenWorld(WorkerPool* pool, const char* over, Epoch epoch,
                                                   int openers) {
  std::vector<cluster::NewWorldRequest> requests(openers);  // the calls use these until they end
  std::vector<cluster::NewWorldReply> replies(openers);
  WorkerCalls calls(pool);
  for (Rank rank = 0; rank < pool->size(); ++rank) {
    if (rank >= openers) {
      calls.Start(rank, [](const WorkerClient::Done& done) {
        done(absl::OkStatus());
        return nullptr;
      });
      continue;
    }
    requests[rank].set_over(over);
    requests[rank].set_epoch(epoch);
    requests[rank].set_rank(rank);
    requests[rank].set_size(pool->size());
    calls.Start(rank, [&](WorkerClient::Done done) {
      return pool->client(rank).NewWorld(requests[rank], kNewWorldWithin, &replies[rank], std::move(done));
    });
  }
  DR_RETURN_IF_ERROR(calls.Wait());
  std::vector<std::string> answers;
  for (cluster::NewWorldReply& reply : replies) answers.push_back(std::move(*reply.mutable_id()));
  return answers;
}

// The fields that are the same for every rank and epoch.
cluster::LoadRequest RequestOf(const LoadOptions& options) {
  cluster::LoadRequest request;
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
  request.set_speculative_tokens(options.speculative_tokens);
  request.set_kv_bytes(options.kv_bytes);
  request.set_max_step_tokens(options.max_step_tokens);
  request.set_max_context(options.max_context);
  request.set_max_sequences(options.max_sequences);
  request.set_threads(options.threads);
  return request;
}

cluster::LoadRequest RequestFor(const LoadOptions& options, const NewWorld& world, Rank rank) {
  cluster::LoadRequest request = RequestOf(options);
  request.set_options(DigestOfLoad(options));
  if (options.tokens != nullptr) {
    const TokenTable& tokens = *options.tokens;
    request.mutable_token_texts()->Assign(tokens.texts.begin(), tokens.texts.end());
    request.mutable_end_tokens()->Assign(tokens.end_tokens.begin(), tokens.end_tokens.end());
    request.set_vocab_size(tokens.vocab_size);
  }
  request.set_nccl_world(world.nccl);
  request.mutable_gloo_world()->Assign(world.gloo.begin(), world.gloo.end());
  request.set_epoch(options.epoch);
  request.set_rank(rank);
  request.set_collective_timeout_ms(absl::ToInt64Milliseconds(options.collective_timeout));
  return request;
}

// The reports of all ranks so far. Thread-safe.
class Reports {
 public:
  Reports(int ranks, absl::Duration timeout, Clock* clock, const LoadEvents& events)
      : clock_(clock), events_(events), latest_(ranks), watch_(ranks, timeout, clock->Now()) {}

  void Take(Rank rank, const cluster::LoadProgress& message) {
    const std::lock_guard lock(mutex_);
    latest_[rank] = message;
    watch_.Report(rank, {message.bytes_done(), message.bytes_total()}, clock_->Now());
    if (events_.progress) events_.progress(watch_.sum().done, watch_.sum().total);
  }

  void Ended(Rank rank) {
    const std::lock_guard lock(mutex_);
    watch_.Ended(rank);
  }

  // Returns the stalled ranks with the reasons.
  std::map<Rank, std::string> Stalled() {
    const std::lock_guard lock(mutex_);
    std::map<Rank, std::string> stalled;
    for (const Rank rank : watch_.Stalled(clock_->Now())) stalled.emplace(rank, watch_.Describe(rank));
    return stalled;
  }

  const cluster::LoadProgress& latest(Rank rank) const { return latest_[rank]; }  // call it after the load

 private:
  Clock* const clock_;
  const LoadEvents& events_;
  std::mutex mutex_;
  std::vector<cluster::LoadProgress> latest_;
  LoadWatch watch_;
};

// Loses the stalled ranks, which ends the load.
void LoseStalled(const std::map<Rank, std::string>& stalled, WorkerPool& pool, const LoadEvents& events) {
  if (stalled.empty()) return;
  if (events.stalled) events.stalled(stalled);
  std::vector<std::string> names;
  for (const auto& [rank, why] : stalled)
    names.push_back(absl::StrCat(pool.NameOf(rank), " was lost: ", why));
  pool.Lose(absl::StrJoin(names, "; "));
}

}  // namespace

std::string DigestOfLoad(const LoadOptions& options) {
  return absl::StrCat(absl::Hex(Fnv1a(RequestOf(options).SerializeAsString()), absl::kZeroPad16));
}

absl::StatusOr<LoadedModel> LoadModel(WorkerPool* pool, const LoadOptions& options, Clock* clock,
                                      const LoadEvents& events) {
  if (pool->size() != options.layout.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", ToString(options.layout), " has ",
                                                   options.layout.world_size(), " ranks, and ", pool->size(),
                                                   " workers are there"));
  }
  DR_RETURN_IF_ERROR(pool->health());
  NewWorld world;
  if (options.over_nccl) {
    DR_ASSIGN_OR_RETURN(std::vector<std::string> ids, OpenWorld(pool, "nccl", options.epoch, 1));
    world.nccl = std::move(ids.front());
  } else if (options.over_gloo) {
    DR_ASSIGN_OR_RETURN(world.gloo, OpenWorld(pool, "gloo", options.epoch, pool->size()));
  }
  std::vector<cluster::LoadRequest> requests;  // the calls read the requests until they end
  for (Rank rank = 0; rank < pool->size(); ++rank) requests.push_back(RequestFor(options, world, rank));
  Reports reports(pool->size(), options.progress_timeout, clock, events);
  WorkerCalls calls(pool);
  for (Rank rank = 0; rank < pool->size(); ++rank) {
    calls.Start(rank, [&](const WorkerClient::Done& done) {
      return pool->client(rank).Load(
          requests[rank],
          [&reports, rank](const cluster::LoadProgress& progress) { reports.Take(rank, progress); },
          [&reports, rank, done](const absl::Status& status) {
            reports.Ended(rank);
            done(status);
          });
    });
  }
  while (!calls.SettledWithin(kCheckEvery)) LoseStalled(reports.Stalled(), *pool, events);
  calls.LetDeadlinesPass(options.collective_timeout / 4);
  absl::Status status = calls.Wait();
  if (absl::IsDeadlineExceeded(status) && !calls.unanswered().empty()) {
    // The deadline of a collective call passed. The ranks that did not take part in that call are stalled.
    std::map<Rank, std::string> absent;
    for (const Rank rank : calls.unanswered()) {
      absent.emplace(rank, absl::StrCat("the other ranks waited for it in vain while they loaded (",
                                        status.message(), ")"));
    }
    LoseStalled(absent, *pool, events);
    status = pool->health();
  }
  DR_RETURN_IF_ERROR(status);

  LoadedModel loaded{.kv_blocks = std::numeric_limits<int32_t>::max(),
                     .speculative_tokens = options.speculative_tokens};
  for (Rank rank = 0; rank < pool->size(); ++rank) {
    const cluster::LoadProgress& last = reports.latest(rank);
    if (!last.done() || last.kv_blocks() < 1) {
      return absl::InternalError(
          absl::StrCat(pool->NameOf(rank), " ended its load without saying how many KV pages it holds"));
    }
    loaded.ranks.push_back({last.kv_blocks(), last.weight_bytes(), last.kv_bytes(), last.workspace_bytes()});
    loaded.kv_blocks = std::min(loaded.kv_blocks, last.kv_blocks());
    loaded.speculative_tokens = std::clamp(last.speculative_tokens(), 0, loaded.speculative_tokens);
  }
  return loaded;
}

}  // namespace deeprack::coordinator
