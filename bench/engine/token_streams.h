// Sequences of random tokens that are prefilled and decoded together: the plans a scheduler would make of
// them.
#pragma once

#include <cstdint>
#include <vector>

#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::bench {

class TokenStreams {
 public:
  // `count` sequences of `prompt` tokens, each with pages of its own for `length` positions: count *
  // ceil(length / kPageTokens) pages in all.
  TokenStreams(int64_t count, int64_t prompt, int64_t length, int64_t vocab_size, uint32_t seed);

  // The next step of the prefill: at most `max_tokens` tokens, chunks in the order of the sequences;
  // sequences whose prompt ends are sampled. Empty when all prompts are computed.
  model::StepPlan NextPrefill(int64_t max_tokens);
  // One token of each sequence. Every prompt is computed and sampled, and there is room for one position
  // more.
  model::StepPlan NextDecode();
  // Takes the sampled tokens of a step.
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
