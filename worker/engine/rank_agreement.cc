#include "worker/engine/rank_agreement.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "worker/collectives/gather_values.h"

namespace deeprack::worker {
namespace {

struct Readiness {
  int64_t ready = 0;
  RowsToExperts rows;
  sizing::RankMemory memory;
  FixedBytes parts;
  Digest files;
  char host[64];  // the machine's name, cut to fit
};

std::string NameOf(const std::vector<Readiness>& ranks, size_t rank) {
  return absl::StrCat("rank ", rank, " on ", ranks[rank].host);
}

std::string BytesOf(const Readiness& rank) {
  return absl::StrCat(rank.parts.weights, " bytes for weights, ", rank.parts.others,
                      " for workspace and tables, ", rank.memory.page_bytes, " for each page of ",
                      kPageTokens, " tokens");
}

// The ranks of a machine or card must fit together what is free there.
absl::Status CheckMemories(const std::vector<Readiness>& ranks, int64_t blocks) {
  for (const Readiness& rank : ranks) {
    const auto same_memory = [&](const Readiness& other) { return other.memory.host == rank.memory.host; };
    int64_t needed = 0;
    int64_t available = rank.memory.available_bytes;
    for (const Readiness& other : ranks) {
      if (!same_memory(other)) continue;
      needed += other.memory.fixed_bytes + blocks * other.memory.page_bytes;
      available += other.memory.held_bytes;
    }
    if (rank.memory.available_bytes <= 0 || needed <= available) continue;
    std::vector<std::string> parts;
    for (size_t other = 0; other < ranks.size(); ++other) {
      if (same_memory(ranks[other]))
        parts.push_back(absl::StrCat(NameOf(ranks, other), ": ", BytesOf(ranks[other])));
    }
    return absl::ResourceExhaustedError(absl::StrCat(
        "the ", parts.size(),
        parts.size() == 1 ? " rank of one machine or card needs " : " ranks of one machine or card need ",
        needed, " bytes for weights, workspace and ", blocks, " pages of KV cache, but ", available,
        " are available there (", absl::StrJoin(parts, "; "),
        "). Use more ranks on other machines or cards, a smaller --kv-bytes or --max-step-tokens"));
  }
  return absl::OkStatus();
}

// Names the ranks whose files differ from those of most ranks; of equally many, those of the lowest rank.
absl::Status CheckFiles(const std::vector<Readiness>& ranks) {
  const auto count = [&](const Digest& files) {
    return std::ranges::count_if(ranks, [&](const Readiness& rank) { return rank.files == files; });
  };
  size_t right = 0;
  for (size_t rank = 1; rank < ranks.size(); ++rank) {
    if (count(ranks[rank].files) > count(ranks[right].files)) right = rank;
  }
  std::vector<std::string> others;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    if (ranks[rank].files != ranks[right].files) others.push_back(NameOf(ranks, rank));
  }
  if (others.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      absl::StrJoin(others, ", "), others.size() == 1 ? " has" : " have", " other files of the model than ",
      NameOf(ranks, right), " and ", count(ranks[right].files), " of ", ranks.size(),
      " ranks: names, sizes, config.json or the tensors' headers differ. ", "Copy the model there again"));
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
  Readiness mine = {.ready = own.ok() ? 1 : 0,
                    .rows = needs.rows,
                    .memory = needs.memory,
                    .parts = needs.parts,
                    .files = needs.files,
                    .host = {}};
  if (gethostname(mine.host, sizeof(mine.host) - 1) != 0) std::strcpy(mine.host, "?");
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
          absl::StrCat(NameOf(all, rank), " cannot load the model; its own message says why"));
    }
    memories.push_back(all[rank].memory);
  }
  DR_RETURN_IF_ERROR(CheckFiles(all));
  DR_RETURN_IF_ERROR(CheckRows(all));
  const sizing::PageAgreement agreement = sizing::AgreeOnBlocks(memories, needs.most_blocks);
  const auto tightest = static_cast<size_t>(agreement.tightest);
  const sizing::RankMemory& tight = memories[tightest];
  if (agreement.blocks == 0) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no memory for the KV cache: ", NameOf(all, tightest), " needs ", BytesOf(all[tightest]), "; ",
        tight.kv_bytes > 0
            ? absl::StrCat(tight.kv_bytes, " bytes are set aside for pages")
            : absl::StrCat(tight.available_bytes, " bytes are available on its machine or card"),
        ". Use more ranks, a smaller --max-step-tokens, or a machine or card with more memory"));
  }
  DR_RETURN_IF_ERROR(CheckMemories(all, agreement.blocks));
  return agreement.blocks;
}

}  // namespace deeprack::worker
