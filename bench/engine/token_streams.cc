#include "bench/engine/token_streams.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/checked.h"

namespace deeprack::bench {

TokenStreams::TokenStreams(int64_t count, int64_t prompt, int64_t length, int64_t vocab_size, uint32_t seed)
    : prompt_(prompt), length_(length), streams_(static_cast<size_t>(count)) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<TokenId> token(0, static_cast<TokenId>(vocab_size - 1));
  BlockId next_block = 0;
  for (Stream& stream : streams_) {
    for (int64_t i = 0; i < prompt; ++i) stream.prompt.push_back(token(random));
    for (int64_t i = 0; i < CeilDiv(length, kPageTokens); ++i) stream.blocks.push_back(next_block++);
  }
}

model::RankStep TokenStreams::NewStep() const {
  return {.header = {.epoch = 0, .step = next_step_, .rows_of_group = {0}}, .group = {}};
}

void TokenStreams::AddRows(size_t index, int64_t rows, model::RankStep& step) {
  Stream& stream = streams_[index];
  const auto slot = static_cast<SequenceSlot>(index);
  if (stream.computed == 0) {
    step.group.opened.push_back({.slot = slot,
                                 .sequence = index + 1,
                                 .prompt_size = static_cast<int32_t>(prompt_),
                                 .tokens = stream.prompt,
                                 .sampling = {.temperature = 0},
                                 .end = {.max_size = static_cast<int32_t>(length_ + 1)}});
    step.group.pages.push_back({.slot = slot, .first = 0, .pages = stream.blocks});
  }
  step.group.rows.push_back({.slot = slot, .rows = static_cast<int32_t>(rows)});
  step.header.rows_of_group[0] += static_cast<int32_t>(rows);
  stream.computed += rows;
}

model::RankStep TokenStreams::NextPrefill(int64_t max_tokens) {
  model::RankStep step = NewStep();
  for (size_t i = 0; i < streams_.size() && max_tokens > 0; ++i) {
    const int64_t rows = std::min(prompt_ - streams_[i].computed, max_tokens);
    if (rows > 0) AddRows(i, rows, step);
    max_tokens -= rows;
  }
  if (!step.group.rows.empty()) ++next_step_;
  return step;
}

model::RankStep TokenStreams::NextDecode() {
  model::RankStep step = NewStep();
  step.header.decodes_only = true;
  for (size_t i = 0; i < streams_.size(); ++i) AddRows(i, 1, step);
  ++next_step_;
  return step;
}

}  // namespace deeprack::bench
