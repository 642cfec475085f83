#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/ids.h"
#include "cli/plan/plan.h"
#include "cli/terminal/terminal.h"
#include "model/config/kv_cache_type.h"

namespace deeprack::cli {
namespace {

std::string Bytes(int64_t bytes) { return FormatBytes(static_cast<double>(bytes)); }

struct Row {
  int64_t weights = 0, workspace = 0, scratch = 0, other = 0, page = 0, pages = 0;

  bool operator==(const Row&) const = default;
  int64_t all() const { return weights + workspace + scratch + other; }
};

Row RowOf(const ClusterPlan& plan, Rank rank) {
  const sizing::RankFootprint& takes = plan.ranks[static_cast<size_t>(rank)];
  return {.weights = takes.weights,
          .workspace = takes.workspace,
          .scratch = takes.scratch(),
          .other = takes.fixed() - takes.weights - takes.workspace - takes.scratch(),
          .page = takes.page,
          .pages = plan.knows_cache() ? plan.PagesOf(rank) : 0};
}

void AppendRow(std::string& table, const std::string& ranks, const Row& row) {
  absl::StrAppendFormat(&table, "%-12s %12s %12s %12s %12s %12s", ranks, Bytes(row.weights),
                        Bytes(row.workspace), Bytes(row.scratch), Bytes(row.other), Bytes(row.all()));
}

}  // namespace

std::string PlanTable(const ClusterPlan& plan, const PlannedDevice& device) {
  const int32_t ranks = plan.layout.world_size();
  std::string table =
      absl::StrFormat("%s, %s compute, %s KV cache, %s on %s, steps of %d tokens, %d sequences, context %d\n",
                      model::ToString(plan.layout), plan.compute == DType::kF32 ? "f32" : "bf16",
                      model::KvCacheTypeName(plan.cache_type), FormatRanks(ranks), device.name,
                      plan.limits.max_step_tokens, plan.limits.max_sequences, plan.limits.max_context);
  if (plan.speculative_tokens > 0) {
    absl::StrAppendFormat(
        &table, "with the MTP layer: up to %s for a sequence in a step\n",
        plan.speculative_tokens == 1 ? "1 draft" : absl::StrCat(plan.speculative_tokens, " drafts"));
  } else if (!plan.why_no_mtp.empty()) {
    absl::StrAppend(&table, "without speculation: ", plan.why_no_mtp, "\n");
  }
  absl::StrAppendFormat(&table, "%-12s %12s %12s %12s %12s %12s %16s", "ranks", "weights", "workspace",
                        "scratch", "other", "together", "KV of 64 tokens");
  table += plan.knows_cache() ? "     cached tokens\n" : "\n";
  Row sum;
  for (Rank first = 0; first < ranks;) {
    const Row row = RowOf(plan, first);
    Rank last = first;
    while (last + 1 < ranks && RowOf(plan, last + 1) == row) ++last;
    const int64_t alike = last - first + 1;
    sum.weights += alike * row.weights;
    sum.workspace += alike * row.workspace;
    sum.scratch += alike * row.scratch;
    sum.other += alike * row.other;
    AppendRow(table, first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last), row);
    absl::StrAppendFormat(&table, " %16s", Bytes(row.page));
    if (plan.knows_cache()) absl::StrAppendFormat(&table, " %17d", row.pages * kPageTokens);
    table += "\n";
    first = last + 1;
  }
  AppendRow(table, "all", sum);
  if (plan.knows_cache()) {
    absl::StrAppendFormat(&table, " %16s %17d", "", plan.Pages() * kPageTokens * plan.layout.dp);
  }
  return table + "\n";
}

}  // namespace deeprack::cli
