#include "cli/plan/cluster_plan.h"

#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "cli/serve/start_check.h"
#include "cli/terminal/terminal.h"
#include "model/config/kv_cache_type.h"
#include "sizing/kv_pages.h"
#include "sizing/rank_spec.h"
#include "sizing/weight_manifest.h"

namespace deeprack::cli {
namespace {

std::string Bytes(int64_t bytes) { return FormatBytes(static_cast<double>(bytes)); }

model::StepLimits LimitsOf(const model::ModelConfig& config, const Settings& options) {
  return {.max_step_tokens = options.max_step_tokens,
          .max_sequences = options.max_sequences,
          .max_context = options.max_context > 0 ? options.max_context : config.max_position_embeddings};
}

// Each rank has a device of its own.
sizing::RankMemory MemoryOf(const ClusterPlan& plan, Rank rank) {
  const sizing::RankFootprint& takes = plan.ranks[static_cast<size_t>(rank)];
  return {.host = static_cast<uint64_t>(rank),
          .available_bytes = plan.device_memory,
          .fixed_bytes = takes.fixed(),
          .page_bytes = takes.page,
          .kv_bytes = plan.kv_bytes};
}

// Of rank 0. The specs of the other ranks differ in the rank alone.
sizing::RankSpec SpecOf(const ClusterPlan& plan, const model::ModelConfig& config, const Settings& options) {
  return {.config = config,
          .layout = plan.layout,
          .compute = plan.compute,
          .cache_type = plan.cache_type,
          .expert_exchange = options.expert_exchange == "all_to_all" ? model::ExpertExchange::kAllToAll
                                                                     : model::ExpertExchange::kReplicated,
          .prefill_attention = options.prefill_attention == "absorbed" ? model::PrefillAttention::kAbsorbed
                                                                       : model::PrefillAttention::kExpanded,
          .limits = plan.limits,
          .speculative_tokens = plan.speculative_tokens};
}

}  // namespace

int64_t ClusterPlan::PagesOf(Rank rank) const {
  const sizing::RankMemory memory = MemoryOf(*this, rank);
  return sizing::AgreeOnBlocks({&memory, 1}, sizing::MostBlocks(limits)).blocks;
}

int64_t ClusterPlan::Pages() const {
  std::vector<sizing::RankMemory> memories;
  for (Rank rank = 0; rank < layout.world_size(); ++rank) memories.push_back(MemoryOf(*this, rank));
  return sizing::AgreeOnBlocks(memories, sizing::MostBlocks(limits)).blocks;
}

absl::StatusOr<ClusterPlan> PlanCluster(const model::ModelConfig& config, const sizing::WeightForms& forms,
                                        const PlannedDevice& device, const Settings& options,
                                        int64_t device_memory) {
  DR_RETURN_IF_ERROR(CheckSuits(config, options));
  ClusterPlan plan = {.layout = options.layout(),
                      .compute = options.compute == "f32" ? DType::kF32 : DType::kBF16,
                      .limits = LimitsOf(config, options),
                      .kv_bytes = options.kv_bytes,
                      .device_memory = device_memory};
  DR_ASSIGN_OR_RETURN(plan.cache_type, model::KvCacheTypeOf(options.kv_cache_dtype, plan.compute));
  if (const int32_t tokens = model::SpeculativeTokensOf(options.speculative_tokens); tokens > 0) {
    plan.why_no_mtp = forms.why_no_mtp;
    if (plan.why_no_mtp.empty()) plan.speculative_tokens = tokens;
  }
  // Ranks that differ only in their experts and sequences take the same: one of them is counted.
  std::map<std::array<int32_t, 3>, sizing::RankFootprint> counted;
  sizing::RankSpec spec = SpecOf(plan, config, options);
  for (; spec.rank < plan.layout.world_size(); ++spec.rank) {
    const model::RankCoordinates at = spec.coordinates();
    const auto [place, is_new] = counted.try_emplace({at.pp_rank, at.tp_rank, at.expert_tp_rank});
    if (is_new) {
      place->second = sizing::RankFootprintOf(spec, sizing::ManifestOf(spec, forms), device.needs());
    }
    plan.ranks.push_back(place->second);
  }
  return plan;
}

absl::Status CheckFits(const ClusterPlan& plan) {
  if (plan.device_memory == 0) return absl::OkStatus();
  const int64_t pages = plan.Pages();
  // Without --kv-bytes a worker gives nine tenths of the device to its rank.
  const int64_t given = plan.kv_bytes > 0 ? plan.device_memory : plan.device_memory / 10 * 9;
  int64_t missing = 0;
  Rank fullest = 0;
  for (Rank rank = 0; rank < plan.layout.world_size(); ++rank) {
    const sizing::RankMemory memory = MemoryOf(plan, rank);
    const int64_t more = memory.fixed_bytes + std::max<int64_t>(pages, 1) * memory.page_bytes - given;
    if (more > missing) missing = more, fullest = rank;
  }
  if (missing == 0) {
    if (pages > 0) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("--kv-bytes ", plan.kv_bytes, " is less than one page of the KV cache takes"));
  }
  const sizing::RankFootprint& takes = plan.ranks[static_cast<size_t>(fullest)];
  return absl::FailedPreconditionError(absl::StrCat(
      "rank ", fullest, " does not fit a device of ", Bytes(plan.device_memory), ": it takes ",
      Bytes(takes.fixed()), ", of which ", Bytes(takes.weights), " are weights, and ",
      Bytes(std::max<int64_t>(pages, 1) * takes.page), " of KV cache; ",
      plan.kv_bytes > 0 ? "" : absl::StrCat("nine tenths of the device, ", Bytes(given), ", are for it; "),
      missing, " bytes (", Bytes(missing), ") are missing"));
}

}  // namespace deeprack::cli
