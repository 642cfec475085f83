// Sequences of random tokens that are prefilled and decoded together, as the plans that a scheduler would
// make.
#pragma once

#include <cstdint>
#include <vector>

#include "model/step/step_plan.h"

namespace deeprack::bench {

class TokenStreams {
 public:
  // `count` sequences of `prompt` tokens. Each sequence has its own pages for `length` positions, so there
  // are count * ceil(length / kPageTokens) pages.
  TokenStreams(int64_t count, int64_t prompt, int64_t length, int64_t vocab_size, uint32_t seed);

  // The next step of the prefill: at most `max_tokens` tokens, chunks in the order of the sequences; a
  // sequence whose prompt ends draws. Without rows when all prompts are computed: then the next step is
  // NextDecode's.
  model::RankStep NextPrefill(int64_t max_tokens);
  // The next decode step: one token of each sequence. Requires that every prompt has been computed, and that
  // there is room for one more position.
  model::RankStep NextDecode();

 private:
  struct Stream {
    std::vector<TokenId> prompt;
    int64_t computed = 0;
    std::vector<BlockId> blocks;
  };
  model::RankStep NewStep() const;
  void AddRows(size_t index, int64_t rows, model::RankStep& step);

  const int64_t prompt_;
  const int64_t length_;
  std::vector<Stream> streams_;
  StepId next_step_ = 1;
};

}  // namespace deeprack::bench
