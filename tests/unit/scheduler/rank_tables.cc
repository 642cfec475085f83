#include "tests/unit/scheduler/rank_tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/status_macros.h"
#include "model/step/speculation.h"

namespace deeprack::coordinator {
namespace {

SequencePlan Resolve(const worker::StepSequence& from, int32_t dp_rank) {
  SequencePlan plan{.sequence = from.sequence, .dp_rank = dp_rank};
  if (from.padding) return plan;
  plan.prompt_size = from.prompt_size;
  plan.num_computed = from.num_computed;
  const auto drafts = from.token_ids.last(static_cast<size_t>(from.drafts));
  plan.token_ids.assign(from.token_ids.begin(), from.token_ids.end() - from.drafts);
  plan.drafts.assign(drafts.begin(), drafts.end());
  plan.next_drafts = from.next_drafts;
  const int64_t ahead = std::max(0, from.next_drafts - 1);
  const int64_t pages = CeilDiv(from.num_computed + from.rows + ahead, kPageTokens);
  plan.block_table.assign(from.block_table.begin(), from.block_table.begin() + pages);
  plan.sample = from.sample;
  if (from.sample) plan.sampling = from.SamplingOf(0);
  plan.token_counts.assign(from.token_counts.begin(), from.token_counts.end());
  std::ranges::sort(plan.token_counts, {}, &worker::TokenCount::token);
  plan.prompt_logprobs = from.prompt_logprobs;
  plan.next_prompt_token = from.next_prompt_token();
  return plan;
}

}  // namespace

model::StepResult ResolvedResult::Joined() const {
  model::StepResult result{.epoch = epoch, .step = step, .rank_timings = rank_timings};
  auto next = sequences.begin();
  for (const size_t size : sizes) {
    const auto end = next + std::min<int64_t>(static_cast<int64_t>(size), sequences.end() - next);
    result.groups.emplace_back(next, end);
    next = end;
  }
  return result;
}

void RankTables::MakeTables(Epoch epoch, size_t groups) {
  epoch_ = epoch;
  tables_.clear();
  for (size_t group = 0; group < groups; ++group) {
    tables_.push_back(std::make_unique<worker::SequenceTable>(
        worker::SequenceTableOptions{.epoch = epoch,
                                     .dp = static_cast<int32_t>(groups),
                                     .dp_rank = static_cast<int32_t>(group),
                                     .vocab_size = INT32_MAX,
                                     .blocks = limits_.blocks_per_dp_rank,
                                     .most_drafts = model::kMostSpeculativeTokens,
                                     .limits = {.max_step_tokens = limits_.max_step_tokens,
                                                .max_sequences = limits_.max_sequences,
                                                .max_context = limits_.max_context},
                                     .vocabulary = vocabulary_}));
  }
}

absl::StatusOr<ResolvedPlan> RankTables::TryBegin(const model::StepPlan& plan) {
  if (plan.header.epoch != epoch_) MakeTables(plan.header.epoch, plan.groups.size());
  ResolvedPlan resolved{.epoch = plan.header.epoch, .step = plan.header.step, .plan = plan};
  steps_.clear();
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    DR_ASSIGN_OR_RETURN(worker::GroupStep step,
                        tables_[group]->Begin({.header = plan.header, .group = plan.groups[group]}));
    steps_.push_back(std::move(step));
    for (const worker::StepSequence& sequence : steps_.back().sequences) {
      if (!sequence.refused.empty()) return absl::InternalError(std::string(sequence.refused));
      resolved.sequences.push_back(Resolve(sequence, static_cast<int32_t>(group)));
    }
  }
  return resolved;
}

// A result that a test has spoilt ends the sequence on its ranks.
void RankTables::AddOutcomes(const model::SequenceResult& result, const worker::StepSequence& sequence,
                             worker::StepOutcomes& outcomes) const {
  const size_t end = outcomes.tokens.size() + static_cast<size_t>(sequence.outcomes());
  if (result.non_finite || !result.refused.empty()) {
    outcomes.tokens.push_back(worker::kNotFinite);
  } else {
    outcomes.tokens.insert(outcomes.tokens.end(), result.tokens.begin(), result.tokens.end());
  }
  outcomes.tokens.resize(end, worker::kNoToken);
  const TokenId last = result.tokens.empty() ? 0 : result.tokens.back();
  for (int32_t d = 0; d < sequence.next_drafts; ++d)
    outcomes.drafts.push_back(drafter_ ? drafter_(sequence.sequence, d) : last + 1 + d);
}

absl::Status RankTables::TryAccept(const model::StepResult& result) {
  for (size_t group = 0; group < steps_.size(); ++group) {
    worker::StepOutcomes outcomes;
    for (size_t i = 0; i < result.groups[group].size(); ++i)
      AddOutcomes(result.groups[group][i], steps_[group].sequences[i], outcomes);
    DR_RETURN_IF_ERROR(tables_[group]->Accept(steps_[group], outcomes));
  }
  return absl::OkStatus();
}

ResolvedPlan RankTables::Begin(const model::StepPlan& plan) {
  absl::StatusOr<ResolvedPlan> resolved = TryBegin(plan);
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  return resolved.ok() ? *std::move(resolved) : ResolvedPlan{.epoch = plan.header.epoch};
}

void RankTables::Accept(const model::StepResult& result) {
  const absl::Status accepted = TryAccept(result);
  EXPECT_TRUE(accepted.ok()) << accepted;
}

}  // namespace deeprack::coordinator
