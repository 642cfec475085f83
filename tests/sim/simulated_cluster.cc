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

// One past the last position that the step may write to.
int32_t WriteEnd(const SequencePlan& plan) {
  return End(plan) + static_cast<int32_t>(plan.drafts.size()) + std::max(0, plan.next_drafts - 1);
}

// The tokens whose bias leaves them no chance, for a draw after `size` tokens.
std::vector<TokenId> Forbidden(const model::SamplingParams& sampling, const model::EndRule& end,
                               int32_t output_size) {
  std::vector<TokenId> tokens;
  for (const auto& [token, bias] : sampling.logit_bias) {
    if (bias < -1e20f) tokens.push_back(token);
  }
  if (output_size < end.min_tokens)
    tokens.insert(tokens.end(), end.stop_tokens.begin(), end.stop_tokens.end());
  return tokens;
}

// One draft in four is wrong.
bool IsWrongDraft(uint64_t history) { return Extend(history, 1) % 4 == 0; }

}  // namespace

SimulatedCluster::SimulatedCluster(const SchedulerLimits& limits) : limits_(limits) { Replace(limits.dp); }

void SimulatedCluster::Replace(int32_t dp) {
  limits_.dp = dp;
  tables_.emplace(limits_);
  tables_->DraftWith([this](SequenceId sequence, int32_t d) {
    const std::vector<TokenId>& drafts = held_[sequence].drafts;
    return static_cast<size_t>(d) < drafts.size() ? drafts[static_cast<size_t>(d)] : 0;
  });
  pages_.assign(static_cast<size_t>(dp) * static_cast<size_t>(limits_.blocks_per_dp_rank), Page());
  readers_.clear();
  held_.clear();
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
    step_tokens[sequence.dp_rank] += std::ssize(sequence.token_ids) + std::ssize(sequence.drafts);
    if (step_tokens[sequence.dp_rank] > limits_.max_step_tokens)
      return Wrong(sequence, "more tokens than a step may have");
    const int32_t end = WriteEnd(sequence);
    if (sequence.block_table.size() != static_cast<size_t>((end + kPageTokens - 1) / kPageTokens)) {
      return Wrong(sequence, "a block table of ", sequence.block_table.size(), " for ", end, " positions");
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
    Write(plan, position, token, history);
    const TokenId follower = i + 1 < plan.token_ids.size() ? plan.token_ids[i + 1] : plan.next_prompt_token;
    if (plan.prompt_logprobs >= 0 && position + 1 < plan.prompt_size) {
      result.prompt_logprobs.push_back({.chosen = {follower, -static_cast<float>(position + 1)}});
    }
  }
  DR_RETURN_IF_ERROR(CheckCounts(plan, reader.tokens));
  Held& held = held_[plan.sequence];
  DR_RETURN_IF_ERROR(CheckDrafts(plan, held));
  if (plan.sample) DrawTokens(plan, held, history, result);
  return result;
}

absl::Status SimulatedCluster::CheckDrafts(const SequencePlan& plan, const Held& held) const {
  const auto drafts = static_cast<int32_t>(plan.drafts.size());
  if (!plan.sample && drafts + plan.next_drafts > 0) return Wrong(plan, "drafts, and draws nothing");
  if (drafts > std::ssize(held.drafts) ||
      !std::equal(plan.drafts.begin(), plan.drafts.end(), held.drafts.begin()))
    return Wrong(plan, "other drafts than its ranks made");
  if (drafts > 0 && plan.token_ids.size() != 1) return Wrong(plan, "drafts in a prefill");
  if (plan.sample && End(plan) + drafts + 1 > held.end.max_size)
    return Wrong(plan, "may draw token ", End(plan) + drafts + 1, " of ", held.end.max_size);
  if (plan.next_drafts > 0 && WriteEnd(plan) > held.end.max_size)
    return Wrong(plan, "drafts up to position ", WriteEnd(plan), " of ", held.end.max_size);
  return absl::OkStatus();
}

void SimulatedCluster::Write(const SequencePlan& plan, int32_t position, TokenId token, uint64_t history) {
  Page& page = pages_[PageOf(plan, position)];
  page.slots[position % kPageTokens] = {true, Expands(plan, position), position, token, history};
  ++page.writes;
}

// Draws a token after the last of the sequence's tokens, and after each draft that equals the token drawn at
// its position. Then makes the next drafts.
void SimulatedCluster::DrawTokens(const SequencePlan& plan, Held& held, uint64_t history,
                                  model::SequenceResult& result) {
  uint64_t drafted = history;
  int32_t position = End(plan);
  for (const TokenId draft : plan.drafts) {
    drafted = Extend(drafted, draft);
    Write(plan, position++, draft, drafted);
  }
  int32_t size = End(plan);  // of the tokens that are computed
  const auto draw = [&] {
    return NextToken(history, plan.sampling.seed,
                     Forbidden(held.sampling, held.end, size - plan.prompt_size));
  };
  for (size_t i = 0;; ++i) {
    TokenId token = draw();
    const TokenId draft = i < plan.drafts.size() ? plan.drafts[i] : -1;
    if (commits_unverified_ && draft >= 0) token = draft;
    result.tokens.push_back(token);
    if (plan.sampling.top_logprobs >= 0)
      result.logprobs.push_back({.chosen = {token, -static_cast<float>(size)}});
    history = Extend(history, token);
    ++size;
    const bool ends = EndAfter(held.end, plan.prompt_size, size, token) != model::SequenceEnd::kNone;
    if (ends || token != draft) break;
  }
  held.drafts.clear();
  for (int32_t i = 0; i < plan.next_drafts; ++i) {
    const TokenId right = draw();
    const TokenId token = IsWrongDraft(history) ? (right + 1) % kVocabulary : right;
    held.drafts.push_back(token);
    history = Extend(history, token);
    ++size;
  }
}

// StepHeader::drafting counts the rows' next drafts.
absl::Status SimulatedCluster::CheckHeader(const model::StepPlan& plan) {
  std::vector<std::vector<int32_t>> drafting;
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    for (const model::SequenceRows& rows : plan.groups[group].rows) {
      if (std::ssize(drafting) < rows.next_drafts)
        drafting.resize(static_cast<size_t>(rows.next_drafts), std::vector<int32_t>(plan.groups.size()));
      for (int32_t d = 0; d < rows.next_drafts; ++d) ++drafting[static_cast<size_t>(d)][group];
    }
  }
  if (drafting != plan.header.drafting) return absl::InternalError("the header counts other drafts");
  return absl::OkStatus();
}

absl::StatusOr<ResolvedPlan> SimulatedCluster::Begin(const model::StepPlan& plan) {
  DR_RETURN_IF_ERROR(CheckHeader(plan));
  for (const model::GroupPlan& group : plan.groups) {
    for (const model::OpenedSequence& opened : group.opened)
      held_[opened.sequence] = {.sampling = opened.sampling, .end = opened.end, .drafts = {}};
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
  double seconds = 0.01;
  for (const SequencePlan& sequence : plan.sequences)
    seconds += 0.0005 * static_cast<double>(sequence.token_ids.size());
  result.rank_timings = {{.total_seconds = seconds}};
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
    fold(std::ssize(sequence.drafts) * 4 + sequence.next_drafts);
    fold(sequence.next_prompt_token);
    for (TokenId token : sequence.token_ids) fold(token);
    for (BlockId block : sequence.block_table) fold(block);
    for (const auto& count : sequence.token_counts)
      fold(count.token * 1000 + count.in_prompt * 100 + count.in_output);
  }
}

}  // namespace deeprack::coordinator::sim
