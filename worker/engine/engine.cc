#include "worker/engine/engine.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "kernels/api/kernel_set.h"
#include "model/budget/budget.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/rope_table.h"
#include "worker/decoder/seams.h"
#include "worker/decoder/workspace.h"
#include "worker/device/arena.h"
#include "worker/device/cpu_device.h"
#include "worker/engine/plan_check.h"
#include "worker/engine/preparation.h"
#include "worker/engine/rank_agreement.h"
#include "worker/kv_cache/kv_cache.h"
#include "worker/sampling/sampler.h"
#include "worker/weights/weight_loader.h"

namespace deeprack::worker {
namespace {

// Pages beyond which nothing could be stored: every sequence at full length. They cost nothing until written.
int64_t MostBlocks(const model::StepLimits& limits) {
  return std::min<int64_t>(limits.max_sequences * CeilDiv(limits.max_context, kPageTokens), INT32_MAX);
}

class RankEngine final : public Engine {
 public:
  RankEngine(const EngineOptions& options, Preparation& preparation, std::unique_ptr<Seams> seams,
             std::unique_ptr<Device> device, LoadedWeights weights, KvCache cache, Arena workspace,
             std::byte* workspace_base)
      : options_(options),
        config_(preparation.config),
        at_(model::CoordinatesOf(options.layout, options.rank)),
        device_(std::move(device)),
        seams_(std::move(seams)),
        weights_(std::move(weights)),
        cache_(std::move(cache)),
        workspace_arena_(std::move(workspace)),
        workspace_(CarveWorkspace(WorkspaceSpecOf(options_, preparation), workspace_base)),
        decoder_(PartsOf()),
        sampler_(device_->kernels(), device_->execution(), config_.vocab_size, workspace_.logits_scratch),
        checker_(config_.vocab_size, options_.layout, options_.epoch, preparation.limits, cache_.blocks()) {
    FillRopeTable(config_, preparation.limits.max_context, workspace_.rope_cos, workspace_.rope_sin);
    if (workspace_.dispatch_ones != nullptr) {
      std::fill_n(workspace_.dispatch_ones, workspace_.returned.rows, 1.0f);
    }
    memory_ = {.kv_blocks = static_cast<int32_t>(cache_.blocks()),
               .weight_bytes = weights_.arena.capacity(),
               .kv_bytes = cache_.bytes(),
               .workspace_bytes = workspace_arena_.capacity()};
  }

  absl::StatusOr<model::StepResult> Execute(const model::StepPlan& plan) override;

  const float* LastLogits(int64_t sequence_index) const override {
    if (sequence_index < 0 || sequence_index >= static_cast<int64_t>(logit_row_of_.size())) return nullptr;
    const int32_t row = logit_row_of_[static_cast<size_t>(sequence_index)];
    return row < 0 ? nullptr : workspace_.logits.row<float>(row);
  }

  const EngineMemory& memory() const override { return memory_; }
  const model::ModelConfig& config() const override { return config_; }

 private:
  DecoderParts PartsOf() {
    return {.config = &config_,
            .layout = options_.layout,
            .rank = options_.rank,
            .expert_exchange = options_.expert_exchange,
            .compute = options_.compute,
            .weights = &weights_.weights,
            .cache = &cache_,
            .workspace = workspace_,
            .seams = seams_.get(),
            .kernels = &device_->kernels(),
            .execution = device_->execution()};
  }

  bool answers() const { return at_.pp_rank == options_.layout.pp - 1 && at_.tp_rank == 0; }

  absl::Status Run(const model::StepPlan& plan, model::StepResult& result);
  absl::Status ScorePrompts(const model::StepPlan& plan, std::vector<model::SequenceResult>& results);
  absl::Status SampleNext(const model::StepPlan& plan, std::vector<model::SequenceResult>& results);

  const EngineOptions options_;
  const model::ModelConfig config_;
  const model::RankCoordinates at_;
  const std::unique_ptr<Device> device_;  // outlives what follows
  const std::unique_ptr<Seams> seams_;
  const LoadedWeights weights_;
  const KvCache cache_;
  const Arena workspace_arena_;
  const Workspace workspace_;
  Decoder decoder_;
  Sampler sampler_;
  PlanChecker checker_;
  EngineMemory memory_;
  Batch batch_;
  std::vector<int32_t> logit_row_of_;  // plan index -> row of the logits, -1: none
  absl::Status broken_;                // why no step can run any more
};

absl::StatusOr<model::StepResult> RankEngine::Execute(const model::StepPlan& plan) {
  if (!broken_.ok()) return broken_;
  DR_RETURN_IF_ERROR(checker_.Check(plan));
  const int64_t start_nanos = absl::GetCurrentTimeNanos();
  seams_->TakeElapsed();
  model::StepResult result = {.epoch = plan.epoch, .step = plan.step, .sequences = {}, .timings = {}};
  if (absl::Status status = Run(plan, result); !status.ok()) {
    logit_row_of_.clear();
    broken_ = absl::Status(status.code(), absl::StrCat("epoch ", options_.epoch, " ended in step ", plan.step,
                                                       " on rank ", options_.rank, ": ", status.message()));
    return broken_;
  }
  result.timings.total_seconds = static_cast<double>(absl::GetCurrentTimeNanos() - start_nanos) * 1e-9;
  result.timings.collective_seconds = absl::ToDoubleSeconds(seams_->TakeElapsed());
  return result;
}

absl::Status RankEngine::Run(const model::StepPlan& plan, model::StepResult& result) {
  logit_row_of_.assign(plan.sequences.size(), -1);
  FillBatch(plan, at_.dp_rank, options_.layout.dp, batch_);
  DR_RETURN_IF_ERROR(decoder_.Forward(batch_));
  if (at_.pp_rank != options_.layout.pp - 1) return absl::OkStatus();

  std::vector<model::SequenceResult> results(batch_.plan_index.size());
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].sequence = plan.sequences[static_cast<size_t>(batch_.plan_index[i])].sequence;
  }
  DR_RETURN_IF_ERROR(ScorePrompts(plan, results));
  DR_RETURN_IF_ERROR(SampleNext(plan, results));
  if (answers()) result.sequences = std::move(results);
  return absl::OkStatus();
}

// Log-probabilities of prompt tokens, as many rows at a time as the logits' buffer holds.
absl::Status RankEngine::ScorePrompts(const model::StepPlan& plan,
                                      std::vector<model::SequenceResult>& results) {
  struct Place {
    size_t result = 0;
    TokenId next = 0;
    int32_t num_top = 0;
  };
  std::vector<int32_t> rows;
  std::vector<Place> places;
  const auto flush = [&]() -> absl::Status {
    DR_ASSIGN_OR_RETURN(const float* logits, decoder_.Logits(rows));
    for (size_t i = 0; answers() && i < places.size(); ++i) {
      const float* row = logits + static_cast<int64_t>(i) * config_.vocab_size;
      results[places[i].result].prompt_logprobs.push_back(
          sampler_.Logprobs(row, places[i].next, places[i].num_top));
    }
    rows.clear();
    places.clear();
    return absl::OkStatus();
  };

  for (size_t i = 0; i < results.size(); ++i) {
    const model::SequencePlan& sequence = plan.sequences[static_cast<size_t>(batch_.plan_index[i])];
    if (sequence.prompt_logprobs < 0) continue;
    const int32_t chunk = batch_.sequences[i].rows;
    for (int32_t p = 0; p < chunk; ++p) {
      const TokenId next =
          p + 1 < chunk ? sequence.token_ids[static_cast<size_t>(p) + 1] : sequence.next_prompt_token;
      if (next < 0) continue;
      rows.push_back(batch_.sequences[i].first_row + p);
      places.push_back({.result = i, .next = next, .num_top = sequence.prompt_logprobs});
      if (static_cast<int64_t>(rows.size()) == decoder_.max_logit_rows()) DR_RETURN_IF_ERROR(flush());
    }
  }
  return rows.empty() ? absl::OkStatus() : flush();
}

absl::Status RankEngine::SampleNext(const model::StepPlan& plan,
                                    std::vector<model::SequenceResult>& results) {
  std::vector<int32_t> rows;
  std::vector<size_t> sampled;  // indices of results
  for (size_t i = 0; i < results.size(); ++i) {
    if (!plan.sequences[static_cast<size_t>(batch_.plan_index[i])].sample) continue;
    rows.push_back(batch_.sequences[i].first_row + batch_.sequences[i].rows - 1);
    sampled.push_back(i);
  }
  DR_ASSIGN_OR_RETURN(const float* logits, decoder_.Logits(rows));
  for (size_t i = 0; answers() && i < sampled.size(); ++i) {
    const size_t plan_index = static_cast<size_t>(batch_.plan_index[sampled[i]]);
    logit_row_of_[plan_index] = static_cast<int32_t>(i);
    sampler_.Sample(plan.sequences[plan_index], logits + static_cast<int64_t>(i) * config_.vocab_size,
                    results[sampled[i]]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options, Communicator* world,
                                                       const Progress& progress) {
  // A wrong number of threads is found with the other options, which takes a device.
  return Create(options, MakeCpuDevice(std::max(options.threads, 1)), world, progress);
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                                       std::unique_ptr<Device> device, Communicator* world,
                                                       const Progress& progress) {
  if (const int ranks = world == nullptr ? 1 : world->size(); ranks != options.layout.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat("layout ", ToString(options.layout), " is for ",
                                                   options.layout.world_size(), " ranks, but ", ranks,
                                                   " are here"));
  }
  Preparation preparation;
  const absl::Status prepared = Prepare(options, *device, preparation);
  DR_ASSIGN_OR_RETURN(const int64_t blocks,
                      AgreeToLoad(prepared, preparation.memory, MostBlocks(preparation.limits), world));
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Seams> seams, Seams::Create(options.layout, options.rank, world));

  DR_ASSIGN_OR_RETURN(LoadedWeights weights,
                      LoadWeights(preparation.config, options.layout, options.rank, options.compute,
                                  *preparation.reader, *device, progress));
  DR_ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(*device, preparation.config, options.layout,
                                                     options.rank, options.compute, blocks));
  DR_ASSIGN_OR_RETURN(Arena workspace, Arena::Create(*device, "workspace", preparation.workspace_bytes));
  DR_ASSIGN_OR_RETURN(std::byte * workspace_base, workspace.Allocate(preparation.workspace_bytes));
  return std::make_unique<RankEngine>(options, preparation, std::move(seams), std::move(device),
                                      std::move(weights), std::move(cache), std::move(workspace),
                                      workspace_base);
}

}  // namespace deeprack::worker
