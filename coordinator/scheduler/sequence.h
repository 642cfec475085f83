// One sequence on its way from request to last token. It is state only; the scheduler changes it.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "base/ids.h"
#include "coordinator/blocks/block_table.h"
#include "coordinator/request/request.h"
#include "coordinator/scheduler/service_order.h"
#include "coordinator/scheduler/token_counter.h"

namespace deeprack::coordinator {

struct Sequence {
  SequenceId id = 0;
  ServiceOrder order;
  Request request;              // request.prompt has been moved to the start of `tokens`
  std::vector<TokenId> tokens;  // the prompt, then the output; a replay computes all of them again
  int32_t prompt_size = 0;
  int32_t max_size = 0;  // the sequence ends when `tokens` has this size
  TokenCounter counter;  // filled while penalties are used

  // While the sequence runs.
  int32_t dp_rank = -1;
  int32_t num_computed = 0;  // positions whose KV is in `blocks`
  BlockTable blocks;
  int32_t chunk = 0;  // tokens in the step under way; 0: the step leaves it out
  // The sequence was cancelled in the step under way, and ends when the step is applied.
  bool cancelled = false;

  // Kept over preemptions.
  bool admitted_before = false;
  int32_t cached_tokens = 0;  // prompt tokens found in the prefix cache at the first admission
  int32_t preemptions = 0;
  int32_t next_prompt_logprob = 1;  // position of the first prompt token whose log-probability is still due
  int32_t broken_steps = 0;         // broken steps in which it took part since it last decoded a token

  int32_t size() const { return static_cast<int32_t>(tokens.size()); }
  int32_t remaining() const { return size() - num_computed; }
  int32_t output_size() const { return size() - prompt_size; }
  // The answer has fewer tokens than min_tokens: the next token must not be a stop token.
  bool below_min_tokens() const { return output_size() < request.min_tokens; }
  bool decoding() const { return output_size() > 0 && remaining() == 1; }
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
  return {
      .sequence = sequence.id, .cached_tokens = sequence.cached_tokens, .preemptions = sequence.preemptions};
}

}  // namespace deeprack::coordinator
