#include "bench/engine/token_streams.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/checked.h"

namespace deeprack::bench {

TokenStreams::TokenStreams(int64_t count, int64_t prompt, int64_t length, int64_t vocab_size, uint32_t seed)
    : prompt_(prompt), streams_(static_cast<size_t>(count)) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<TokenId> token(0, static_cast<TokenId>(vocab_size - 1));
  BlockId next_block = 0;
  for (Stream& stream : streams_) {
    for (int64_t i = 0; i < prompt; ++i) stream.tokens.push_back(token(random));
    for (int64_t i = 0; i < CeilDiv(length, kPageTokens); ++i) stream.blocks.push_back(next_block++);
  }
}

void TokenStreams::AddChunk(Stream& stream, int64_t index, int64_t prompt, int64_t tokens,
                            model::StepPlan& plan) {
  model::SequencePlan chunk;
  chunk.sequence = index + 1;
  chunk.prompt_size = static_cast<int32_t>(prompt);
  chunk.num_computed = static_cast<int32_t>(stream.computed);
  const auto begin = stream.tokens.begin() + stream.computed;
  chunk.token_ids.assign(begin, begin + tokens);
  chunk.block_table = stream.blocks;
  stream.computed += tokens;
  chunk.sample = stream.computed == static_cast<int64_t>(stream.tokens.size());
  chunk.sampling.temperature = 0;
  plan.sequences.push_back(std::move(chunk));
}

model::StepPlan TokenStreams::NextPrefill(int64_t max_tokens) {
  model::StepPlan plan = NewPlan();
  for (size_t i = 0; i < streams_.size() && max_tokens > 0; ++i) {
    const int64_t tokens = std::min(prompt_ - streams_[i].computed, max_tokens);
    if (tokens > 0) AddChunk(streams_[i], static_cast<int64_t>(i), prompt_, tokens, plan);
    max_tokens -= tokens;
  }
  return plan;
}

model::StepPlan TokenStreams::NextDecode() {
  model::StepPlan plan = NewPlan();
  for (size_t i = 0; i < streams_.size(); ++i)
    AddChunk(streams_[i], static_cast<int64_t>(i), prompt_, 1, plan);
  return plan;
}

void TokenStreams::Apply(const model::StepResult& result) {
  for (const model::SequenceResult& sequence : result.sequences) {
    if (sequence.sampled)
      streams_[static_cast<size_t>(sequence.sequence - 1)].tokens.push_back(sequence.token);
  }
}

}  // namespace deeprack::bench
