#include "tests/unit/engine/draft_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace deeprack::worker::testing {

DraftRun::DraftRun(Rack& rack, const EngineOptions& options, std::vector<DraftedSequence> sequences)
    : rack_(rack),
      layout_(options.layout),
      most_drafts_(options.speculative_tokens),
      sequences_(std::move(sequences)) {
  for (Rank rank = 0; rank < rack.size(); ++rank) {
    tables_.emplace_back(SequenceTableOptions{.epoch = kEpoch,
                                              .dp = layout_.dp,
                                              .dp_rank = model::CoordinatesOf(layout_, rank).dp_rank,
                                              .vocab_size = rack.engine(rank).config().vocab_size,
                                              .blocks = rack.engine(rank).memory().kv_blocks,
                                              .most_drafts = rack.engine(rank).memory().speculative_tokens,
                                              .limits = rack.engine(rank).limits()});
  }
}

std::vector<DraftedSequence> DraftRun::Run(const std::vector<DraftedSequence>& right, TokenId wrong) {
  wrong_ = wrong;
  for (StepId number = 1; number <= 60 && !::testing::Test::HasFailure(); ++number) {
    const model::StepPlan plan = Plan(number);
    if (std::ranges::all_of(sequences_, &DraftedSequence::ended)) break;
    RunStep(plan, right);
  }
  return sequences_;
}

model::StepPlan DraftRun::Plan(StepId number) {
  model::StepPlan plan = {.header = {.epoch = kEpoch, .step = number}, .groups = {}};
  const auto groups = static_cast<size_t>(layout_.dp);
  plan.groups.resize(groups);
  plan.header.rows_of_group.resize(groups, 0);
  plan.header.decodes_only = true;
  for (DraftedSequence& sequence : sequences_) {
    const auto g = static_cast<size_t>(sequence.dp_rank);
    model::GroupPlan& group = plan.groups[g];
    if (number == 1) {
      group.opened.push_back(sequence.opened);
      // Three pages for each: the drafts' positions lie beyond the last token's.
      group.pages.push_back({.slot = sequence.opened.slot, .first = 0, .pages = {}});
      for (BlockId page = 0; page < 3; ++page)
        group.pages.back().pages.push_back(3 * static_cast<BlockId>(sequence.opened.sequence) + page);
    }
    if (sequence.ended) continue;
    const int32_t left = sequence.size() - sequence.computed;
    model::SequenceRows rows = {.slot = sequence.opened.slot, .rows = std::min(left, sequence.chunk)};
    if (rows.rows == left) {
      const int32_t room = sequence.opened.end.max_size - sequence.size() - 1;
      rows.drafts = Below(std::min(sequence.drafts, room) + 1);
      rows.rows += rows.drafts;
      rows.next_drafts = Below(most_drafts_ + 1);
    }
    plan.header.decodes_only &=
        rows.rows == 1 + rows.drafts && sequence.computed >= sequence.opened.prompt_size;
    plan.header.rows_of_group[g] += rows.rows;
    for (int32_t d = 0; d < rows.next_drafts; ++d) {
      plan.header.drafting.resize(std::max(plan.header.drafting.size(), static_cast<size_t>(d) + 1),
                                  std::vector<int32_t>(groups, 0));
      ++plan.header.drafting[static_cast<size_t>(d)][g];
    }
    group.rows.push_back(rows);
  }
  return plan;
}

void DraftRun::RunStep(const model::StepPlan& plan, const std::vector<DraftedSequence>& right) {
  std::vector<GroupStep> steps;
  for (Rank rank = 0; rank < rack_.size(); ++rank) {
    const auto g = static_cast<size_t>(model::CoordinatesOf(layout_, rank).dp_rank);
    auto step = tables_[static_cast<size_t>(rank)].Begin({.header = plan.header, .group = plan.groups[g]});
    ASSERT_TRUE(step.ok()) << step.status();
    for (const StepSequence& sequence : step->sequences) ASSERT_EQ(sequence.refused, "");
    steps.push_back(*std::move(step));
  }
  auto executed = rack_.ExecuteEach([&](Rank rank) { return steps[static_cast<size_t>(rank)]; });
  ASSERT_TRUE(executed.ok()) << executed.status();
  for (Rank rank = 0; rank < rack_.size(); ++rank) {
    const ExecutedStep& own = (*executed)[static_cast<size_t>(rank)];
    const auto g = static_cast<size_t>(model::CoordinatesOf(layout_, rank).dp_rank);
    for (size_t i = 0; i < own.result.sequences.size(); ++i)
      Take(own.result.sequences[i], plan.groups[g].rows[i]);
  }
  const uint32_t choice = random_();
  for (Rank rank = 0; rank < rack_.size(); ++rank) {
    StepOutcomes& outcomes = (*executed)[static_cast<size_t>(rank)].outcomes;
    std::minstd_rand random(choice);  // the same choices on all ranks
    if (!right.empty()) Correct(steps[static_cast<size_t>(rank)], right, random, outcomes.drafts);
    const absl::Status accepted =
        tables_[static_cast<size_t>(rank)].Accept(steps[static_cast<size_t>(rank)], outcomes);
    ASSERT_TRUE(accepted.ok()) << "rank " << rank << ": " << accepted;
  }
}

void DraftRun::Take(const model::SequenceResult& result, const model::SequenceRows& rows) {
  DraftedSequence& sequence = sequences_[result.sequence - 1];
  ASSERT_FALSE(result.non_finite);
  const auto kept = static_cast<int32_t>(result.tokens.size());
  ASSERT_LE(kept, 1 + rows.drafts);
  sequence.computed += rows.rows - rows.drafts + std::max(0, kept - 1);
  sequence.drafts = rows.next_drafts;
  accepted_ += std::max(0, kept - 1);
  sequence.drawn.insert(sequence.drawn.end(), result.tokens.begin(), result.tokens.end());
  sequence.logprobs.insert(sequence.logprobs.end(), result.logprobs.begin(), result.logprobs.end());
  sequence.ended =
      kept > 0 && model::EndAfter(sequence.opened.end, sequence.opened.prompt_size, sequence.size(),
                                  result.tokens.back()) != model::SequenceEnd::kNone;
}

void DraftRun::Correct(const GroupStep& step, const std::vector<DraftedSequence>& right,
                       std::minstd_rand& random, std::vector<TokenId>& drafts) const {
  size_t at = 0;
  for (const StepSequence& sequence : step.sequences) {
    const std::vector<TokenId>& drawn = right[sequence.sequence - 1].drawn;
    for (int32_t d = 0; d < sequence.next_drafts; ++d, ++at) {
      const size_t index = sequences_[sequence.sequence - 1].drawn.size() + static_cast<size_t>(d);
      if (random() % 4 != 0 && index < drawn.size()) {
        drafts[at] = drawn[index];
      } else if (wrong_ >= 0) {
        drafts[at] = wrong_;
      }
    }
  }
}

std::vector<DraftedSequence> DraftedSequences(const model::Layout& layout) {
  std::vector<TokenId> every(131);
  for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<TokenId>(i);
  std::vector<DraftedSequence> sequences;
  const auto add = [&](int32_t prompt, int32_t chunk, int32_t output, model::SamplingParams sampling,
                       std::vector<TokenId> stops, int32_t min_tokens) {
    const auto id = static_cast<int32_t>(sequences.size()) + 1;
    sequences.push_back(
        {.opened = RandomSequence(id, prompt, output, std::move(sampling), std::move(stops), min_tokens),
         .dp_rank = id % layout.dp,
         .chunk = chunk});
  };
  add(70, 30, 24, {.temperature = 0.9f, .seed = 4, .top_logprobs = 2}, {}, 0);
  add(60, 60, 19, {.temperature = 1.2f, .presence_penalty = 0.7f, .frequency_penalty = 0.3f, .seed = 5}, {},
      0);
  add(5, 2, 30, {.temperature = 0}, every, 6);  // ends after its seventh token
  add(1, 1, 9, {.temperature = 1.0f, .top_k = 20, .repetition_penalty = 1.5f, .seed = 6}, {}, 0);
  return sequences;
}

std::vector<DraftedSequence> SequencesWithout(TokenId token) {
  std::vector<DraftedSequence> sequences = DraftedSequences({});
  for (DraftedSequence& sequence : sequences) {
    for (TokenId& of_prompt : sequence.opened.tokens) of_prompt += of_prompt == token ? 1 : 0;
    sequence.opened.sampling.logit_bias = {{token, -1e4f}};
  }
  return sequences;
}

}  // namespace deeprack::worker::testing
