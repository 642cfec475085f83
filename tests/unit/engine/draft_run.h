// Sequences that run with drafts, from their first step to their ends.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "model/layout/layout.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"
#include "tests/unit/engine/rack.h"
#include "worker/engine/engine.h"
#include "worker/sequences/sequence_table.h"

namespace deeprack::worker::testing {

struct DraftedSequence {
  model::OpenedSequence opened;
  int32_t dp_rank = 0;
  int32_t chunk = 0;  // rows of a step until the prompt is computed
  // What the test learns from the results.
  int32_t computed = 0;
  int32_t drafts = 0;  // that the ranks have
  bool ended = false;
  std::vector<TokenId> drawn;
  std::vector<model::PositionLogprobs> logprobs;

  int32_t size() const { return opened.prompt_size + static_cast<int32_t>(drawn.size()); }
};

// Every rank of the rack keeps a table of its own, as workers do. The run chooses at random how many drafts
// each sequence has verified and makes.
class DraftRun {
 public:
  DraftRun(Rack& rack, const EngineOptions& options, std::vector<DraftedSequence> sequences);

  // `right`: the tokens that each sequence will draw. Most drafts are replaced by them, because the drafts of
  // random weights are seldom right. Empty: the drafts stay as the ranks made them. `wrong`: a token in place
  // of all other drafts, or -1.
  std::vector<DraftedSequence> Run(const std::vector<DraftedSequence>& right, TokenId wrong = -1);

  int32_t accepted() const { return accepted_; }

 private:
  int32_t Below(int32_t n) { return static_cast<int32_t>(random_() % static_cast<uint32_t>(n)); }
  model::StepPlan Plan(StepId number);
  void RunStep(const model::StepPlan& plan, const std::vector<DraftedSequence>& right);
  void Take(const model::SequenceResult& result, const model::SequenceRows& rows);
  // The drafts of a sequence begin after the tokens that the test has taken already.
  void Correct(const GroupStep& step, const std::vector<DraftedSequence>& right, std::minstd_rand& random,
               std::vector<TokenId>& drafts) const;

  Rack& rack_;
  const model::Layout layout_;
  const int32_t most_drafts_;
  std::vector<DraftedSequence> sequences_;
  std::vector<SequenceTable> tables_;
  int32_t accepted_ = 0;
  TokenId wrong_ = -1;
  std::minstd_rand random_{7};
};

// Four sequences of tiny checkpoints: log-probabilities, penalties, an end by a stop token after min_tokens,
// and a repetition penalty with top_k. They draw kDraftedSizes tokens.
inline constexpr size_t kDraftedSizes[] = {24, 19, 7, 9};
std::vector<DraftedSequence> DraftedSequences(const model::Layout& layout);
// The same on one rank, without this token: the prompts do not have it, and it is not drawn.
std::vector<DraftedSequence> SequencesWithout(TokenId token);

}  // namespace deeprack::worker::testing
