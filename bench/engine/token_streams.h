// Sequences of random tokens that are prefilled and decoded together, as the plans that a scheduler would
// make.
#pragma once

#include <cstdint>
#include <vector>

#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::bench {

class TokenStreams {
 public:
  // `count` sequences of `prompt` tokens. Each sequence has its own pages for `length` positions, so there
  // are count * ceil(length / kPageTokens) pages.
  TokenStreams(int64_t count, int64_t prompt, int64_t length, int64_t vocab_size, uint32_t seed);

  // The next step of the prefill: at most `max_tokens` tokens, chunks in the order of the sequences;
  // sequences whose prompt ends are sampled. Empty when all prompts are computed.
  model::StepPlan NextPrefill(int64_t max_tokens);
  // The next decode step: one token of each sequence. Requires that every prompt has been computed and
  // sampled, and that there is room for one more position.
  model::StepPlan NextDecode();
  // Appends the sampled tokens of a step.
  void Apply(const model::StepResult& result);

 private:
  struct Stream {
    std::vector<TokenId> tokens;
    int64_t computed = 0;
    std::vector<BlockId> blocks;
  };
  model::StepPlan NewPlan() { return {.epoch = 0, .step = next_step_++, .sequences = {}}; }
  static void AddChunk(Stream& stream, int64_t index, int64_t prompt, int64_t tokens, model::StepPlan& plan);

  const int64_t prompt_;
  std::vector<Stream> streams_;
  StepId next_step_ = 1;
};

}  // namespace deeprack::bench
