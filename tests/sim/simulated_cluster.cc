#include "tests/sim/simulated_cluster.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tests/sim/workload.h"

namespace deeprack::coordinator::sim {
namespace {

template <class... Parts>
absl::Status Wrong(const SequencePlan& plan, const Parts&... parts) {
  return absl::InternalError(absl::StrCat("sequence ", plan.sequence, ": ", parts...));
}

int32_t End(const SequencePlan& plan) {
  return plan.num_computed + static_cast<int32_t>(plan.token_ids.size());
}

// The tokens whose bias leaves them no chance.
std::vector<TokenId> Forbidden(const model::SamplingParams& sampling) {
  std::vector<TokenId> tokens;
  for (const auto& [token, bias] : sampling.logit_bias) {
    if (bias < -1e20f) tokens.push_back(token);
  }
  return tokens;
}

}  // namespace

SimulatedCluster::SimulatedCluster(const SchedulerLimits& limits)
    : limits_(limits), tables_(limits), slots_(size_t(limits.dp) * limits.blocks_per_dp_rank * kPageTokens) {}

size_t SimulatedCluster::SlotOf(const SequencePlan& plan, int32_t position) const {
  const size_t block =
      size_t(plan.dp_rank) * limits_.blocks_per_dp_rank + plan.block_table[position / kPageTokens];
  return block * kPageTokens + position % kPageTokens;
}

bool SimulatedCluster::Expands(const SequencePlan& plan, int32_t position) const {
  return limits_.prefill_attention == model::PrefillAttention::kExpanded && position < plan.prompt_size;
}

// Checks the parts of a plan that do not depend on the content of the cache: limits, ids, and that no
// sequence writes to a page of another sequence.
absl::Status SimulatedCluster::CheckPlan(const ResolvedPlan& plan) const {
  if (plan.sequences.empty()) return absl::InternalError("an empty plan");
  std::vector<int64_t> step_tokens(limits_.dp), group_sequences(limits_.dp);
  std::map<std::pair<int32_t, BlockId>, int32_t> users;
  std::set<SequenceId> seen;
  for (const SequencePlan& sequence : plan.sequences) {
    if (!seen.insert(sequence.sequence).second) return Wrong(sequence, "twice in the plan");
    if (sequence.token_ids.empty()) continue;  // padding
    if (sequence.dp_rank < 0 || sequence.dp_rank >= limits_.dp)
      return Wrong(sequence, "dp rank ", sequence.dp_rank);
    if (++group_sequences[sequence.dp_rank] > limits_.max_sequences)
      return Wrong(sequence, "more sequences than a dp group may run");
    step_tokens[sequence.dp_rank] += static_cast<int64_t>(sequence.token_ids.size());
    if (step_tokens[sequence.dp_rank] > limits_.max_step_tokens)
      return Wrong(sequence, "more tokens than a step may have");
    if (sequence.block_table.size() != static_cast<size_t>((End(sequence) + kPageTokens - 1) / kPageTokens)) {
      return Wrong(sequence, "a block table of ", sequence.block_table.size(), " for ", End(sequence),
                   " positions");
    }
    for (BlockId block : sequence.block_table) {
      if (block < 0 || block >= limits_.blocks_per_dp_rank) return Wrong(sequence, "block ", block);
      ++users[{sequence.dp_rank, block}];
    }
  }
  for (const SequencePlan& sequence : plan.sequences) {
    if (sequence.token_ids.empty()) continue;
    for (size_t page = sequence.num_computed / kPageTokens; page < sequence.block_table.size(); ++page) {
      if (users[{sequence.dp_rank, sequence.block_table[page]}] > 1) {
        return Wrong(sequence, "writes to block ", sequence.block_table[page], ", which another one has too");
      }
    }
  }
  return absl::OkStatus();
}

// Reads positions [0, num_computed) as attention does, and checks that they are one history without gaps.
absl::Status SimulatedCluster::Read(const SequencePlan& plan, std::vector<TokenId>& tokens,
                                    uint64_t& history) const {
  for (int32_t position = 0; position < plan.num_computed; ++position) {
    const Slot& slot = slots_[SlotOf(plan, position)];
    if (!slot.written) return Wrong(plan, "reads position ", position, ", which was never written");
    if (slot.position != position)
      return Wrong(plan, "reads position ", position, " and finds ", slot.position);
    if (slot.expanded != Expands(plan, position))
      return Wrong(plan, "position ", position, " was computed in the other form of attention");
    history = Extend(history, slot.token);
    if (slot.history != history) return Wrong(plan, "position ", position, " has another sequence's past");
    tokens.push_back(slot.token);
  }
  return absl::OkStatus();
}

absl::Status SimulatedCluster::CheckCounts(const SequencePlan& plan,
                                           const std::vector<TokenId>& tokens) const {
  if (!plan.sample || !plan.sampling.uses_penalties()) {
    return plan.token_counts.empty() ? absl::OkStatus() : Wrong(plan, "token counts that nobody uses");
  }
  std::map<TokenId, worker::TokenCount> counts;
  for (size_t i = 0; i < tokens.size(); ++i) {
    worker::TokenCount& count = counts[tokens[i]];
    count.token = tokens[i];
    ++(i < static_cast<size_t>(prompt_sizes_.at(plan.sequence)) ? count.in_prompt : count.in_output);
  }
  std::vector<worker::TokenCount> expected;
  for (const auto& [token, count] : counts) expected.push_back(count);
  return plan.token_counts == expected ? absl::OkStatus() : Wrong(plan, "wrong token counts");
}

absl::StatusOr<model::SequenceResult> SimulatedCluster::Run(const SequencePlan& plan) {
  const auto expected = prompt_sizes_.find(plan.sequence);
  if (expected != prompt_sizes_.end() && plan.prompt_size != expected->second)
    return Wrong(plan, "a prompt of ", plan.prompt_size, " tokens; it has ", expected->second);
  std::vector<TokenId> tokens;
  uint64_t history = kEmptyHistory;
  DR_RETURN_IF_ERROR(Read(plan, tokens, history));
  model::SequenceResult result{.sequence = plan.sequence};
  for (size_t i = 0; i < plan.token_ids.size(); ++i) {
    const TokenId token = plan.token_ids[i];
    history = Extend(history, token);
    tokens.push_back(token);
    const int32_t position = plan.num_computed + static_cast<int32_t>(i);
    slots_[SlotOf(plan, position)] = {true, position, token, history, Expands(plan, position)};
    const TokenId follower = i + 1 < plan.token_ids.size() ? plan.token_ids[i + 1] : plan.next_prompt_token;
    if (plan.prompt_logprobs >= 0 && position + 1 < plan.prompt_size) {
      result.prompt_logprobs.push_back({.chosen = {follower, -static_cast<float>(position + 1)}});
    }
  }
  DR_RETURN_IF_ERROR(CheckCounts(plan, tokens));
  if (plan.sample) result.tokens = {NextToken(history, plan.sampling.seed, Forbidden(plan.sampling))};
  return result;
}

absl::StatusOr<ResolvedPlan> SimulatedCluster::Begin(const model::StepPlan& plan) {
  for (const model::GroupPlan& group : plan.groups) {
    int64_t bytes = model::MostHeaderBytes(std::ssize(plan.groups));
    bytes += std::ssize(group.rows) * model::kMostRowsBytes;
    for (const model::PageChange& change : group.pages)
      bytes += std::ssize(change.pages) * model::kMostIdBytes;
    for (const model::OpenedSequence& opened : group.opened) {
      bytes += model::MostOpenedBytes(std::ssize(opened.tokens), 0, std::ssize(opened.sampling.logit_bias),
                                      std::ssize(opened.end.stop_tokens));
    }
    if (bytes > limits_.max_message_bytes) return absl::InternalError("a plan larger than a message");
  }
  return tables_.Begin(plan);
}

absl::StatusOr<ResolvedResult> SimulatedCluster::Execute(const ResolvedPlan& plan) {
  DR_RETURN_IF_ERROR(CheckPlan(plan));
  Digest(plan);
  ResolvedResult result{.epoch = plan.epoch, .step = plan.step};
  for (const model::GroupPlan& group : plan.plan.groups) result.sizes.push_back(group.rows.size());
  for (const SequencePlan& sequence : plan.sequences) {
    if (sequence.token_ids.empty()) {
      result.sequences.push_back({.sequence = sequence.sequence});
      continue;
    }
    DR_ASSIGN_OR_RETURN(model::SequenceResult answer, Run(sequence));
    result.sequences.push_back(std::move(answer));
  }
  return result;
}

void SimulatedCluster::Digest(const ResolvedPlan& plan) {
  const auto fold = [this](int64_t value) { digest_ = Extend(digest_, static_cast<TokenId>(value)); };
  fold(static_cast<int64_t>(plan.step));
  for (const SequencePlan& sequence : plan.sequences) {
    fold(static_cast<int64_t>(sequence.sequence));
    fold(sequence.dp_rank);
    fold(sequence.prompt_size);
    fold(sequence.num_computed);
    fold(sequence.sample);
    fold(sequence.next_prompt_token);
    for (TokenId token : sequence.token_ids) fold(token);
    for (BlockId block : sequence.block_table) fold(block);
    for (const auto& count : sequence.token_counts)
      fold(count.token * 1000 + count.in_prompt * 100 + count.in_output);
  }
}

}  // namespace deeprack::coordinator::sim
