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
#include "model/gguf/gguf_model.h"

namespace deeprack::cli {

absl::StatusOr<std::string> PlanTable(const model::ModelConfig& config, const ServeOptions& options,
                                      const model::TensorTypes& types) {
  const model::Layout layout = options.layout();
  if (const absl::Status status = model::ValidateLayout(config, layout); !status.ok()) {
    return absl::FailedPreconditionError(status.message());
  }
  const DType compute = options.compute == "f32" ? DType::kF32 : DType::kBF16;
  std::string table =
      absl::StrFormat("%s, %s compute, %d ranks\n%-12s %12s %16s%s\n", model::ToString(layout),
                      options.compute, layout.world_size(), "ranks", "weights", "KV of 64 tokens",
                      options.kv_bytes > 0 ? "     cached tokens" : "");
  struct Row {
    int64_t weights = 0, page = 0;
    bool operator==(const Row&) const = default;
  };
  const auto row_of = [&](Rank rank) {
    return Row{model::WeightBytes(config, layout, rank, compute, types),
               model::KvPageBytes(config, layout, rank, compute)};
  };
  int64_t total = 0;
  for (Rank first = 0; first < layout.world_size();) {
    const Row row = row_of(first);
    Rank last = first;
    while (last + 1 < layout.world_size() && row_of(last + 1) == row) ++last;
    total += row.weights * (last - first + 1);
    const std::string ranks = first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last);
    absl::StrAppendFormat(&table, "%-12s %12s %16s", ranks, FormatBytes(static_cast<double>(row.weights)),
                          FormatBytes(static_cast<double>(row.page)));
    if (options.kv_bytes > 0)
      absl::StrAppendFormat(&table, " %17d", options.kv_bytes / row.page * kPageTokens);
    table += "\n";
    first = last + 1;
  }
  absl::StrAppendFormat(&table, "%-12s %12s\n", "all", FormatBytes(static_cast<double>(total)));
  return table;
}

namespace {

// A folder's config says all; of a GGUF, each tensor's type is its own.
absl::StatusOr<std::string> TableOf(const ServeOptions& options) {
  DR_ASSIGN_OR_RETURN(const model::ModelConfig config, ReadModelConfig(options.model));
  if (!model::IsGgufPath(options.model)) return PlanTable(config, options);
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
