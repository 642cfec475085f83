#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/preflight/figures_text.h"
#include "cli/preflight/judges.h"
#include "proto/preflight.pb.h"

namespace deeprack::cli {
namespace {

using preflight::Host;
using preflight::Rack;

// One memory, and the ranks that take from it.
struct Memory {
  std::string name;
  int64_t free = 0;
  std::vector<int32_t> ranks;
};

std::vector<Memory> MemoriesOf(const Host& host, const RackNeeds& needs) {
  const std::vector<int32_t> ranks(host.ranks().begin(), host.ranks().end());
  if (!needs.on_cards) return {{host.name(), host.report().free_memory(), ranks}};
  std::vector<Memory> cards;
  for (const preflight::Card& card : host.report().cards())
    cards.push_back({absl::StrCat(host.name(), ", card ", card.number()), card.free_bytes(), {}});
  // Each rank of a machine takes one of the machine's cards in turn.
  for (size_t i = 0; i < ranks.size() && !cards.empty(); ++i)
    cards[i % cards.size()].ranks.push_back(ranks[i]);
  return cards;
}

Finding Judge(const Memory& memory, const RackNeeds& needs) {
  Finding finding{.check = "memory", .subject = memory.name};
  RankNeeds all;
  for (const int32_t rank : memory.ranks) {
    const RankNeeds& one = needs.ranks[static_cast<size_t>(rank)];
    all.fixed += one.fixed;
    all.cache += one.cache;
    all.weights += one.weights;
  }
  const int64_t takes = all.fixed + all.cache;
  if (memory.free < 0) {
    finding.verdict = Verdict::kWarning;
    finding.found = "the host does not say how much memory is free";
    finding.remedy = absl::StrCat("its ranks take ", BytesText(takes), " (", takes, " bytes)");
    return finding;
  }
  const int64_t given = needs.cache_given ? memory.free : memory.free / 10 * 9;
  finding.found = absl::StrCat(
      BytesText(memory.free), " free; rank", memory.ranks.size() == 1 ? " " : "s ",
      absl::StrJoin(memory.ranks, ", "), memory.ranks.size() == 1 ? " takes " : " take ", BytesText(takes),
      " (weights ", BytesText(all.weights), ", other ", BytesText(all.fixed - all.weights), ", KV cache ",
      needs.cache_given ? "" : "at least ", BytesText(all.cache), ")");
  if (takes > given) {
    finding.verdict = Verdict::kFail;
    finding.remedy =
        absl::StrCat(takes - given, " bytes (", BytesText(takes - given), ") are missing",
                     needs.cache_given ? "" : " of the nine tenths that ranks may take",
                     ": end what else runs there, use more ranks (--tp, --pp), or look at `deeprack plan`");
  }
  return finding;
}

}  // namespace

Findings JudgeMemory(const Rack& rack, const RackNeeds& needs) {
  Findings findings;
  for (const Host& host : rack.hosts()) {
    if (!host.failure().empty()) continue;
    for (const Memory& memory : MemoriesOf(host, needs)) {
      if (!memory.ranks.empty()) findings.push_back(Judge(memory, needs));
    }
  }
  return findings;
}

}  // namespace deeprack::cli
