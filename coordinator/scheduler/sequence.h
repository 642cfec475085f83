// One sequence on its way from request to last token. It is state only; the scheduler changes it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "base/ids.h"
#include "coordinator/blocks/block_pool.h"
#include "coordinator/blocks/block_table.h"
#include "coordinator/request/request.h"
#include "coordinator/scheduler/service_order.h"
#include "model/step/end_rule.h"

namespace deeprack::coordinator {

// While a step is under way, the token that it draws is not known. But how many tokens it draws is known, and
// so the next step can be planned. "Planned" counts the steps under way as if they were done. Of a step with
// drafts it counts as many tokens as the step draws at least; no step is planned until that step is applied.
struct Sequence {
  SequenceId id = 0;
  ServiceOrder order;
  Request request;              // request.prompt has been moved to the start of `tokens`
  std::vector<TokenId> tokens;  // the prompt, then the output; a replay computes all of them again
  int32_t prompt_size = 0;
  model::EndRule end;

  // While the sequence runs.
  int32_t dp_rank = -1;
  SequenceSlot slot = -1;  // -1: its ranks do not have it
  BlockTable blocks;
  int32_t num_planned = 0;  // positions whose KV is in `blocks`, planned
  bool changed = false;     // the sequence is in its group's list of changed block tables
  int32_t drafts = 0;       // that its ranks make after the last draw that is planned

  // Of the steps under way with rows of this sequence.
  int32_t steps_under_way = 0;
  int32_t draws_under_way = 0;  // each draws one token of this sequence, and more if it has drafts

  // The sequence has its last event. It stays until no step under way has rows of it, because these rows may
  // still write to its pages.
  bool ended = false;
  bool ended_on_ranks = false;  // its ranks know the end and draw no more of its tokens

  // While the sequence waits: entry r is what group r's prefix cache had when Place last looked. Empty: Place
  // has not looked.
  std::vector<BlockPool::Prefix> found;

  // Kept over preemptions.
  int32_t admissions = 0;
  int32_t cached_tokens = 0;  // prompt tokens found in the prefix cache at the first admission
  int32_t preemptions = 0;
  int64_t accepted_drafts = 0, rejected_drafts = 0;
  int32_t next_prompt_logprob = 1;  // position of the first prompt token whose log-probability is still due
  int32_t broken_steps = 0;         // broken epochs in whose last steps it took part since its last decode

  int32_t size() const { return static_cast<int32_t>(tokens.size()); }
  int32_t planned_size() const { return size() + draws_under_way; }
  int32_t remaining() const { return planned_size() - num_planned; }
  int32_t output_size() const { return size() - prompt_size; }
  bool decoding() const { return planned_size() > prompt_size && remaining() == 1; }
  // The steps under way draw the last token that the sequence may have.
  bool drawn_out() const { return draws_under_way > 0 && planned_size() >= end.max_size; }
  // The most drafts of the next row: each of them may be accepted, and one more token is drawn.
  int32_t most_drafts() const { return std::max(0, end.max_size - planned_size() - 1); }
  bool prompt_logprobs_due() const {
    return request.prompt_logprobs >= 0 && next_prompt_logprob < prompt_size;
  }
};

struct ServedEarlier {
  bool operator()(const Sequence* a, const Sequence* b) const { return a->order < b->order; }
};
// Sequences in the order of service. The set does not own them.
using SequenceSet = std::set<Sequence*, ServedEarlier>;

// An event without an outcome.
inline TokenEvent EventOf(const Sequence& sequence) {
  return {.sequence = sequence.id,
          .cached_tokens = sequence.cached_tokens,
          .preemptions = sequence.preemptions,
          .accepted_drafts = sequence.accepted_drafts,
          .rejected_drafts = sequence.rejected_drafts};
}

}  // namespace deeprack::coordinator
