// Totals and gauges for /metrics, as a snapshot.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model/step/speculation.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

// Steps by the number of tokens that they computed.
struct StepTokens {
  static constexpr std::array<int64_t, 13> kBounds = {1,   8,    16,   32,   64,   128,  256,
                                                      512, 1024, 2048, 4096, 8192, 16384};
  // Entry i: the steps with at most kBounds[i] tokens, and more than kBounds[i - 1]. The last entry: with
  // more than all bounds.
  std::array<int64_t, kBounds.size() + 1> steps{};
  int64_t tokens = 0;  // of all steps

  void Add(int64_t step_tokens) {
    size_t i = 0;
    while (i < kBounds.size() && step_tokens > kBounds[i]) ++i;
    ++steps[i];
    tokens += step_tokens;
  }
};

struct DraftStats {
  int64_t verified = 0;  // times that a sequence's drafts were verified
  int64_t drafts = 0, accepted = 0;
  // Entry i: how often the draft at place i, from 0, was accepted.
  std::array<int64_t, model::kMostSpeculativeTokens> accepted_at{};

  void Add(int32_t offered, int32_t accepted_now) {
    ++verified;
    drafts += offered;
    accepted += accepted_now;
    for (int32_t i = 0; i < accepted_now; ++i) ++accepted_at[static_cast<size_t>(i)];
  }
};

struct ServingStats {
  int64_t running = 0, waiting = 0;
  int64_t blocks_used = 0, blocks_total = 0;
  int64_t prefix_cache_queries = 0, prefix_cache_hits = 0;  // tokens
  int64_t prompt_tokens = 0, generation_tokens = 0;
  int64_t cached_prompt_tokens = 0;  // of prompt_tokens: found in the prefix cache
  StepTokens step_tokens;
  int32_t most_drafts = 0;  // that the ranks can make for a sequence
  DraftStats drafts;
  int64_t preemptions = 0;
  int64_t steps = 0;
  int64_t sequences_refused = 0;          // sequences that the ranks refused
  int64_t non_finite_logits = 0;          // sequences that ended because their logits were not finite
  std::vector<model::StepTimings> ranks;  // entry r: the sums over rank r's steps
};

}  // namespace deeprack::coordinator
