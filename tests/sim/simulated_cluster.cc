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

SimulatedCluster::SimulatedCluster(const SchedulerLimits& limits) : limits_(limits) { Replace(limits.dp); }

void SimulatedCluster::Replace(int32_t dp) {
  limits_.dp = dp;
  tables_.emplace(limits_);
  pages_.assign(static_cast<size_t>(dp) * static_cast<size_t>(limits_.blocks_per_dp_rank), Page());
  readers_.clear();
}

size_t SimulatedCluster::PageOf(const SequencePlan& plan, int32_t position) const {
  return size_t(plan.dp_rank) * limits_.blocks_per_dp_rank + plan.block_table[position / kPageTokens];
}

bool SimulatedCluster::Expands(const SequencePlan& plan, int32_t position) const {
  return limits_.prefill_attention == model::PrefillAttention::kExpanded && position < plan.prompt_size;
}

// Checks the parts of a plan that do not depend on the content of the cache: limits, ids, and that no
// sequence writes to a page of another sequence.
absl::Status SimulatedCluster::CheckPlan(const ResolvedPlan& plan) const {
  if (plan.sequences.empty()) return absl::InternalError("an empty plan");
  std::vector<int64_t> step_tokens(limits_.dp), group_sequences(limits_.dp);
  std::vector<int32_t> users(pages_.size());
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
    for (size_t page = 0; page < sequence.block_table.size(); ++page) {
      const BlockId block = sequence.block_table[page];
      if (block < 0 || block >= limits_.blocks_per_dp_rank) return Wrong(sequence, "block ", block);
      ++users[PageOf(sequence, static_cast<int32_t>(page) * kPageTokens)];
    }
  }
  for (const SequencePlan& sequence : plan.sequences) {
    if (sequence.token_ids.empty()) continue;
    for (size_t page = sequence.num_computed / kPageTokens; page < sequence.block_table.size(); ++page) {
      if (users[PageOf(sequence, static_cast<int32_t>(page) * kPageTokens)] > 1) {
        return Wrong(sequence, "writes to block ", sequence.block_table[page], ", which another one has too");
      }
    }
  }
  return absl::OkStatus();
}

// Reads positions [0, num_computed) as attention does, and checks that they are one history without gaps.
absl::Status SimulatedCluster::Read(const SequencePlan& plan, Reader& reader, uint64_t& history) const {
  reader.tokens.resize(std::min(reader.tokens.size(), static_cast<size_t>(plan.num_computed)));
  reader.seen.resize(std::min(reader.seen.size(), reader.tokens.size() / kPageTokens));
  for (int32_t first = 0; first < plan.num_computed; first += kPageTokens) {
    const auto index = static_cast<size_t>(first / kPageTokens);
    const int32_t end = std::min(first + kPageTokens, plan.num_computed);
    const Page& page = pages_[PageOf(plan, first)];
    if (index < reader.seen.size()) {
      const Reader::Seen& seen = reader.seen[index];
      if (seen.page == &page && seen.writes == page.writes) {
        history = seen.history;
        continue;
      }
      reader.seen.resize(index);
    }
    for (int32_t position = first; position < end; ++position) {
      DR_RETURN_IF_ERROR(ReadSlot(plan, page.slots[position - first], position, reader, history));
    }
    if (end == first + kPageTokens) reader.seen.push_back({&page, page.writes, history});
  }
  return absl::OkStatus();
}

absl::Status SimulatedCluster::ReadSlot(const SequencePlan& plan, const Slot& slot, int32_t position,
                                        Reader& reader, uint64_t& history) const {
  if (!slot.written) return Wrong(plan, "reads position ", position, ", which was never written");
  if (slot.position != position)
    return Wrong(plan, "reads position ", position, " and finds ", slot.position);
  if (slot.expanded != Expands(plan, position))
    return Wrong(plan, "position ", position, " was computed in the other form of attention");
  history = Extend(history, slot.token);
  if (slot.history != history) return Wrong(plan, "position ", position, " has another sequence's past");
  if (std::ssize(reader.tokens) <= position) {
    reader.tokens.push_back(slot.token);
  } else {
    reader.tokens[static_cast<size_t>(position)] = slot.token;
  }
  return absl::OkStatus();
}

absl::Status SimulatedCluster::CheckCounts(const SequencePlan& plan,
                                           const std::vector<TokenId>& tokens) const {
  if (!plan.sample || !plan.sampling.uses_penalties()) {
    return plan.token_counts.empty() ? absl::OkStatus() : Wrong(plan, "token counts that nobody uses");
  }
  std::map<TokenId, worker::TokenCount> counts;
  const auto prompt_size = static_cast<size_t>(prompt_sizes_.at(plan.sequence));
  for (size_t i = 0; i < tokens.size(); ++i) {
    worker::TokenCount& count = counts[tokens[i]];
    count.token = tokens[i];
    ++(i < prompt_size ? count.in_prompt : count.in_output);
  }
  const bool equal = plan.token_counts.size() == counts.size() &&
                     std::equal(counts.begin(), counts.end(), plan.token_counts.begin(),
                                [](const auto& entry, const auto& count) { return entry.second == count; });
  return equal ? absl::OkStatus() : Wrong(plan, "wrong token counts");
}

absl::StatusOr<model::SequenceResult> SimulatedCluster::Run(const SequencePlan& plan) {
  const auto expected = prompt_sizes_.find(plan.sequence);
  if (expected != prompt_sizes_.end() && plan.prompt_size != expected->second)
    return Wrong(plan, "a prompt of ", plan.prompt_size, " tokens; it has ", expected->second);
  Reader& reader = readers_[plan.sequence];
  uint64_t history = kEmptyHistory;
  DR_RETURN_IF_ERROR(Read(plan, reader, history));
  model::SequenceResult result{.sequence = plan.sequence};
  for (size_t i = 0; i < plan.token_ids.size(); ++i) {
    const TokenId token = plan.token_ids[i];
    history = Extend(history, token);
    reader.tokens.push_back(token);
    const int32_t position = plan.num_computed + static_cast<int32_t>(i);
    Page& page = pages_[PageOf(plan, position)];
    page.slots[position % kPageTokens] = {true, Expands(plan, position), position, token, history};
    ++page.writes;
    const TokenId follower = i + 1 < plan.token_ids.size() ? plan.token_ids[i + 1] : plan.next_prompt_token;
    if (plan.prompt_logprobs >= 0 && position + 1 < plan.prompt_size) {
      result.prompt_logprobs.push_back({.chosen = {follower, -static_cast<float>(position + 1)}});
    }
  }
  DR_RETURN_IF_ERROR(CheckCounts(plan, reader.tokens));
  if (!plan.sample) return result;
  const TokenId token = NextToken(history, plan.sampling.seed, Forbidden(plan.sampling));
  result.tokens = {token};
  if (plan.sampling.top_logprobs >= 0) {
    result.logprobs.push_back({.chosen = {token, -static_cast<float>(End(plan))}});
  }
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
  return tables_->TryBegin(plan);
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
