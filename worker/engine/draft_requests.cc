#include "worker/engine/draft_requests.h"

#include <algorithm>
#include <span>

#include "worker/sampling/sampler.h"

namespace deeprack::worker {
namespace {

// The number of drawn tokens that the sequence keeps.
int32_t KeptOf(std::span<const TokenId> outcomes) {
  return static_cast<int32_t>(
      std::count_if(outcomes.begin(), outcomes.end(), [](TokenId outcome) { return outcome >= 0; }));
}

// The token after the chunk's row r; 0 if there is none.
TokenId TokenAfter(const StepSequence& sequence, int32_t r, std::span<const TokenId> outcomes) {
  const int32_t draw = r + 1 - sequence.RowsBefore(0);
  if (draw < 0) return sequence.token_ids[static_cast<size_t>(r) + 1];
  const TokenId token = sequence.sample ? outcomes[static_cast<size_t>(draw)] : sequence.next_token;
  return std::max(token, 0);
}

DraftRequest RequestOf(const StepSequence& sequence, const Batch::Chunk& chunk,
                       std::span<const TokenId> outcomes) {
  const int32_t row = sequence.RowsBefore(std::max(0, KeptOf(outcomes) - 1)) - 1;
  return {.batch_row = chunk.RowOf(row),
          .position = sequence.num_computed + row,
          .drafts = sequence.next_drafts,
          .blocks = sequence.block_table,
          .draw = DrawOf(*sequence.sampling)};
}

}  // namespace

DraftRequests DraftRequestsOf(const GroupStep& step, const Batch& batch, const std::vector<TokenId>& tokens) {
  DraftRequests all;
  for (const std::vector<int32_t>& groups : step.drafting)
    all.requests_of_group.emplace_back(groups.begin(), groups.end());
  all.next_tokens.assign(static_cast<size_t>(batch.rows), 0);
  std::span<const TokenId> left = tokens;
  auto chunk = batch.chunks.begin();
  for (const StepSequence& sequence : step.sequences) {
    const auto outcomes = left.first(static_cast<size_t>(sequence.outcomes()));
    left = left.subspan(outcomes.size());
    if (sequence.padding) {
      if (sequence.next_drafts > 0) all.requests.push_back({.drafts = sequence.next_drafts});
      continue;
    }
    for (int32_t r = 0; r < chunk->rows; ++r)
      all.next_tokens[static_cast<size_t>(chunk->RowOf(r))] = TokenAfter(sequence, r, outcomes);
    if (sequence.next_drafts > 0) all.requests.push_back(RequestOf(sequence, *chunk, outcomes));
    ++chunk;
  }
  return all;
}

}  // namespace deeprack::worker
