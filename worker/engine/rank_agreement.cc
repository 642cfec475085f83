#include "worker/engine/rank_agreement.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "worker/collectives/gather_values.h"

namespace deeprack::worker {
namespace {

struct Readiness {
  int64_t ready = 0;
  RowsToExperts rows;
  sizing::RankMemory memory;
};

// Checks that each machine or card has the memory that its ranks will take.
absl::Status CheckMemories(const std::vector<sizing::RankMemory>& ranks, int64_t blocks) {
  for (const sizing::RankMemory& rank : ranks) {
    int64_t needed = 0;
    int64_t held = 0;
    int64_t neighbours = 0;
    for (const sizing::RankMemory& other : ranks) {
      if (other.host != rank.host) continue;
      needed += other.fixed_bytes + blocks * other.page_bytes;
      held += other.held_bytes;
      ++neighbours;
    }
    if (rank.available_bytes > 0 && needed > rank.available_bytes + held) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the ", neighbours,
          neighbours == 1 ? " rank of one machine or card needs " : " ranks of one machine or card need ",
          needed, " bytes for weights, workspace and KV cache, but ", rank.available_bytes + held,
          " are available there. Use more of them, a smaller kv_bytes or max_step_tokens"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRows(const std::vector<Readiness>& ranks) {
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    for (size_t other = 0; other < rank; ++other) {
      const RowsToExperts &rows = ranks[rank].rows, &others = ranks[other].rows;
      if (rows.stage != others.stage || rows.form == others.form) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "ranks ", other, " and ", rank,
          " send rows to each other's experts in different forms: their kernels differ. Use one backend, one "
          "kind of card and the same --unverified-kernels for all ranks, or --expert-exchange replicated"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> AgreeToLoad(const absl::Status& own, const RankNeeds& needs, Communicator* world,
                                    Device& device) {
  const Readiness mine = {.ready = own.ok() ? 1 : 0, .rows = needs.rows, .memory = needs.memory};
  std::vector<Readiness> all = {mine};
  if (world != nullptr) {
    auto gathered = GatherValues(mine, *world, device);
    DR_RETURN_IF_ERROR(own);  // `own` is the cause of the failed call, so `own` is returned first
    DR_RETURN_IF_ERROR(gathered.status());
    all = *std::move(gathered);
  }
  DR_RETURN_IF_ERROR(own);

  std::vector<sizing::RankMemory> memories;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].ready == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("rank ", rank, " cannot load the model; its own message says why"));
    }
    memories.push_back(all[rank].memory);
  }
  DR_RETURN_IF_ERROR(CheckRows(all));
  const sizing::PageAgreement agreement = sizing::AgreeOnBlocks(memories, needs.most_blocks);
  const sizing::RankMemory& tight = memories[static_cast<size_t>(agreement.tightest)];
  if (agreement.blocks == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for the KV cache: rank ", agreement.tightest, " needs ", tight.fixed_bytes,
                     " bytes for weights and workspace and ", tight.page_bytes, " for each page of ",
                     kPageTokens, " tokens; ",
                     tight.kv_bytes > 0
                         ? absl::StrCat(tight.kv_bytes, " bytes are set aside for pages")
                         : absl::StrCat(tight.available_bytes, " bytes are available on its machine or card"),
                     ". Use more ranks, a smaller max_step_tokens, or one with more memory"));
  }
  DR_RETURN_IF_ERROR(CheckMemories(memories, agreement.blocks));
  return agreement.blocks;
}

}  // namespace deeprack::worker
