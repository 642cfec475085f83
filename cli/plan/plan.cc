#include "cli/plan/plan.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "checkpoint/checkpoint_reader.h"
#include "cli/serve/preflight.h"
#include "cli/terminal/exit_code.h"
#include "cli/terminal/terminal.h"
#include "model/budget/budget.h"
#include "model/budget/kv_cache_type.h"
#include "model/budget/workspace.h"
#include "model/gguf/gguf_model.h"
#include "model/tensors/group_types.h"

namespace deeprack::cli {
namespace {

std::string Bytes(int64_t bytes) { return FormatBytes(static_cast<double>(bytes)); }

model::StepLimits LimitsOf(const model::ModelConfig& config, const ServeOptions& options) {
  return {
      .max_step_tokens = options.max_step_tokens > 0 ? options.max_step_tokens : model::kDefaultMaxStepTokens,
      .max_sequences = options.max_sequences > 0 ? options.max_sequences : model::kDefaultMaxSequences,
      .max_context = options.max_context > 0 ? options.max_context : config.max_position_embeddings};
}

}  // namespace

absl::StatusOr<std::string> PlanTable(const model::ModelConfig& config, const ServeOptions& options,
                                      const model::TensorTypes& types) {
  const model::Layout layout = options.layout();
  if (const absl::Status status = model::ValidateLayout(config, layout); !status.ok()) {
    return absl::FailedPreconditionError(status.message());
  }
  const DType compute = options.compute == "f32" ? DType::kF32 : DType::kBF16;
  DR_ASSIGN_OR_RETURN(const DType cache, model::KvCacheTypeOf(options.kv_cache_dtype, compute));
  if (const absl::Status status = model::CheckKvCacheType(config, cache); !status.ok()) {
    return absl::FailedPreconditionError(status.message());
  }
  const model::StepLimits limits = LimitsOf(config, options);
  std::string table = absl::StrFormat(
      "%s, %s compute, %s KV cache, %s, steps of %d tokens, %d sequences, context %d\n%-12s %12s %12s "
      "%16s%s\n",
      model::ToString(layout), options.compute, model::KvCacheTypeName(cache),
      FormatRanks(layout.world_size()), limits.max_step_tokens, limits.max_sequences, limits.max_context,
      "ranks", "weights", "workspace", "KV of 64 tokens", options.kv_bytes > 0 ? "     cached tokens" : "");
  struct Row {
    int64_t weights = 0, workspace = 0, page = 0;
    bool operator==(const Row&) const = default;
  };
  const auto row_of = [&](Rank rank) {
    return Row{model::WeightBytes(config, layout, rank, compute, types),
               model::WorkspaceBytes({.config = config,
                                      .layout = layout,
                                      .rank = rank,
                                      .compute = compute,
                                      .expert_exchange = options.expert_exchange == "all_to_all"
                                                             ? model::ExpertExchange::kAllToAll
                                                             : model::ExpertExchange::kReplicated,
                                      .limits = limits}),
               model::KvPageBytes(config, layout, rank, cache)};
  };
  int64_t weights = 0, workspace = 0;
  for (Rank first = 0; first < layout.world_size();) {
    const Row row = row_of(first);
    Rank last = first;
    while (last + 1 < layout.world_size() && row_of(last + 1) == row) ++last;
    weights += row.weights * (last - first + 1);
    workspace += row.workspace * (last - first + 1);
    const std::string ranks = first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last);
    absl::StrAppendFormat(&table, "%-12s %12s %12s %16s", ranks, Bytes(row.weights), Bytes(row.workspace),
                          Bytes(row.page));
    if (options.kv_bytes > 0)
      absl::StrAppendFormat(&table, " %17d", options.kv_bytes / row.page * kPageTokens);
    table += "\n";
    first = last + 1;
  }
  absl::StrAppendFormat(&table, "%-12s %12s %12s\n", "all", Bytes(weights), Bytes(workspace));
  return table;
}

namespace {

// A folder's config says all; of a GGUF, each tensor's type is its own.
absl::StatusOr<std::string> TableOf(const ServeOptions& options) {
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(options.model));
  if (!model::IsGgufPath(options.model)) return PlanTable(config, options, model::GroupTypes(config));
  DR_ASSIGN_OR_RETURN(const checkpoint::CheckpointReader reader,
                      checkpoint::CheckpointReader::Open(options.model));
  return PlanTable(config, options, reader.BlockTypes());
}

}  // namespace

int Plan(const ServeOptions& options) {
  const auto table = TableOf(options);
  if (!table.ok()) {
    std::fprintf(stderr, "deeprack: %s\n", std::string(table.status().message()).c_str());
    return static_cast<int>(ExitCodeOf(table.status()));
  }
  std::fputs(table->c_str(), stdout);
  return 0;
}

}  // namespace deeprack::cli
