#include "worker/sequences/sequence_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "worker/sequences/sequence_check.h"

namespace deeprack::worker {
namespace {

// A token with this bias is never drawn while a token without it can be. The bias is finite, so that sums,
// penalties and temperatures give finite logits.
constexpr float kForbidden = -1e30f;

model::SamplingParams Forbidding(const std::vector<TokenId>& tokens, const model::SamplingParams& sampling) {
  model::SamplingParams forbidding = sampling;
  std::vector<std::pair<TokenId, float>>& biases = forbidding.logit_bias;
  for (const TokenId token : tokens) {
    const auto same = [token](const auto& bias) { return bias.first == token; };
    const auto found = std::find_if(biases.begin(), biases.end(), same);
    if (found != biases.end()) {
      found->second = kForbidden;
    } else {
      biases.emplace_back(token, kForbidden);
    }
  }
  return forbidding;
}

}  // namespace

SequenceTable::SequenceTable(const SequenceTableOptions& options)
    : options_(options),
      holders_(options.blocks),
      states_(options.vocabulary),
      slots_(static_cast<size_t>(kSlotsPerSequence * options.limits.max_sequences)) {}

template <class... Parts>
absl::Status SequenceTable::FaultOfStep(const Parts&... parts) const {
  return absl::InvalidArgumentError(
      absl::StrCat("step ", next_step_, " of epoch ", options_.epoch, ": ", parts...));
}

absl::Status SequenceTable::UnknownSlot(SequenceSlot slot, const char* part) const {
  return FaultOfStep(part, " names slot ", slot, "; slots are in [0, ", slots_.size(),
                     "), and this one has no sequence");
}

SequenceTable::Held* SequenceTable::Find(SequenceSlot slot) {
  return slot < 0 || slot >= std::ssize(slots_) ? nullptr : slots_[static_cast<size_t>(slot)].get();
}

absl::StatusOr<GroupStep> SequenceTable::Begin(model::RankStep step) {
  DR_RETURN_IF_ERROR(CheckHeader(step.header));
  for (const SequenceSlot slot : step.group.closed) DR_RETURN_IF_ERROR(Close(slot));
  for (model::OpenedSequence& opened : step.group.opened) DR_RETURN_IF_ERROR(Open(std::move(opened)));
  for (const model::PageChange& change : step.group.pages) DR_RETURN_IF_ERROR(ChangePages(change));

  GroupStep resolved = {.epoch = step.header.epoch,
                        .step = step.header.step,
                        .rows_of_group = std::move(step.header.rows_of_group),
                        .decodes_only = step.header.decodes_only,
                        .sequences = {}};
  if (std::ssize(step.group.rows) > options_.limits.max_sequences)
    return FaultOfStep("rows of ", step.group.rows.size(), " sequences; a step takes ",
                       options_.limits.max_sequences, " of a dp group");
  resolved.sequences.reserve(step.group.rows.size());
  int64_t sum = 0;
  for (const model::SequenceRows& rows : step.group.rows) {
    DR_RETURN_IF_ERROR(AddRows(rows, resolved));
    sum += rows.rows;
  }
  if (const int32_t told = resolved.rows_of_group[static_cast<size_t>(options_.dp_rank)]; told != sum)
    return FaultOfStep("rows_of_group says ", told, " rows of dp group ", options_.dp_rank,
                       ", and its sequences have ", sum);
  ++next_step_;
  return resolved;
}

absl::Status SequenceTable::CheckHeader(const model::StepHeader& header) const {
  if (header.epoch != options_.epoch) {
    return absl::FailedPreconditionError(absl::StrCat("step ", header.step, " is of epoch ", header.epoch,
                                                      ", but this rank is in epoch ", options_.epoch));
  }
  if (header.step != next_step_) return FaultOfStep("step ", header.step, " came in its place");
  if (std::ssize(header.rows_of_group) != options_.dp)
    return FaultOfStep("rows_of_group has ", header.rows_of_group.size(), " entries for ", options_.dp,
                       " dp groups");
  for (const int32_t rows : header.rows_of_group) {
    if (rows < 0 || rows > options_.limits.max_step_tokens)
      return FaultOfStep("rows_of_group says ", rows, " rows; a dp group takes ",
                         options_.limits.max_step_tokens);
  }
  return absl::OkStatus();
}

absl::Status SequenceTable::Close(SequenceSlot slot) {
  Held* const held = Find(slot);
  if (held == nullptr) return UnknownSlot(slot, "closed");
  ReleasePages(*held);
  slots_[static_cast<size_t>(slot)] = nullptr;
  return absl::OkStatus();
}

absl::Status SequenceTable::Open(model::OpenedSequence opened) {
  if (opened.slot < 0 || opened.slot >= std::ssize(slots_) || Find(opened.slot) != nullptr)
    return FaultOfStep("sequence ", opened.sequence, " is opened at slot ", opened.slot,
                       "; slots are in [0, ", slots_.size(), "), and its slot must be free");
  auto held = std::make_unique<Held>();
  held->sequence = opened.sequence;
  if (const std::string fault = FaultOf(opened, options_.vocab_size, options_.limits); !fault.empty()) {
    Refuse(*held, fault);
  } else {
    held->prompt_size = opened.prompt_size;
    held->num_computed = opened.num_computed;
    held->tokens = std::move(opened.tokens);
    held->sampling = std::move(opened.sampling);
    held->end = std::move(opened.end);
    held->prompt_logprobs = opened.prompt_logprobs;
    const std::span<const TokenId> tokens = held->tokens;
    if (held->sampling.uses_penalties()) {
      held->counter.AddPrompt(tokens.first(static_cast<size_t>(held->prompt_size)));
      held->counter.AddOutput(tokens.subspan(static_cast<size_t>(held->prompt_size)));
    }
    if (held->size() - held->prompt_size < held->end.min_tokens) {
      held->without_stops =
          std::make_unique<model::SamplingParams>(Forbidding(held->end.stop_tokens, held->sampling));
    }
    if (opened.constraint) {
      absl::StatusOr<std::unique_ptr<constraint::TokenState>> state =
          states_.Make(*opened.constraint, tokens.subspan(static_cast<size_t>(held->prompt_size)));
      if (!state.ok()) Refuse(*held, std::string(state.status().message()));
      if (state.ok()) held->state = *std::move(state);
    }
  }
  slots_[static_cast<size_t>(opened.slot)] = std::move(held);
  return absl::OkStatus();
}

absl::Status SequenceTable::ChangePages(const model::PageChange& change) {
  Held* const held = Find(change.slot);
  if (held == nullptr) return UnknownSlot(change.slot, "pages");
  if (held->ended) return absl::OkStatus();
  if (const std::string fault = FaultOfPages(*held, change); !fault.empty()) Refuse(*held, fault);
  return absl::OkStatus();
}

std::string SequenceTable::FaultOfPages(Held& held, const model::PageChange& change) {
  const int64_t size = std::ssize(held.pages), first = change.first;
  const int64_t most = CeilDiv(options_.limits.max_context, kPageTokens);
  if (first < 0 || first > size || first + std::ssize(change.pages) > most)
    return absl::StrCat(change.pages.size(), " pages from entry ", first, " on in a block table of ", size,
                        " entries, of at most ", most);
  for (int64_t i = first; i < first + std::ssize(change.pages); ++i) {
    const BlockId page = change.pages[static_cast<size_t>(i - first)];
    const bool is_new = i == std::ssize(held.pages);
    if (!is_new && held.pages[static_cast<size_t>(i)] == page) continue;
    if (page < 0 || page >= holders_.pages()) return absl::StrCat("block ", page, " of ", holders_.pages());
    if (i < held.complete_pages()) {
      if (!holders_.AddReader(page))
        return absl::StrCat("reads block ", page, ", which a sequence may still write");
    } else if (!holders_.AddWriter(page)) {
      return absl::StrCat("may write block ", page, ", which is in a block table already");
    }
    if (is_new) {
      held.pages.push_back(page);
    } else {
      ReleasePage(held, i);
      held.pages[static_cast<size_t>(i)] = page;
    }
  }
  return "";
}

std::string SequenceTable::FaultOfRows(const Held& held, int32_t rows) const {
  const int32_t left = held.size() - held.num_computed;
  if (rows > left) return absl::StrCat(rows, " rows of a sequence with ", left, " tokens to compute");
  const int64_t end = int64_t{held.num_computed} + rows;
  const int64_t pages = CeilDiv(end, kPageTokens);
  if (std::ssize(held.pages) < pages)
    return absl::StrCat("a block table of ", held.pages.size(), " pages for ", end, " positions, which take ",
                        pages);
  return "";
}

absl::Status SequenceTable::AddRows(const model::SequenceRows& rows, GroupStep& step) {
  Held* const held = Find(rows.slot);
  if (held == nullptr) return UnknownSlot(rows.slot, "rows");
  if (held->last_step == next_step_) return FaultOfStep("slot ", rows.slot, " has rows twice");
  // No sequence has more rows than positions, so padding rows fit the context too.
  if (rows.rows < 1 || rows.rows > options_.limits.max_context || (step.decodes_only && rows.rows != 1))
    return FaultOfStep(rows.rows, " rows at slot ", rows.slot, "; a sequence has 1 to ",
                       options_.limits.max_context, ", and 1 in a step of decodes only");
  held->last_step = next_step_;
  if (!held->ended) {
    if (const std::string fault = FaultOfRows(*held, rows.rows); !fault.empty()) Refuse(*held, fault);
  }
  StepSequence& sequence = step.sequences.emplace_back();
  sequence.slot = rows.slot;
  sequence.sequence = held->sequence;
  sequence.rows = rows.rows;
  Resolve(*held, sequence);
  if (step.decodes_only && !sequence.padding &&
      (!sequence.sample || sequence.num_computed < sequence.prompt_size))
    return FaultOfStep("decodes_only, and sequence ", sequence.sequence, " computes position ",
                       sequence.num_computed, " of ", held->size(), " tokens, ", sequence.prompt_size,
                       " of its prompt");
  return absl::OkStatus();
}

void SequenceTable::Resolve(const Held& held, StepSequence& sequence) {
  sequence.refused = held.refused;
  sequence.padding = held.ended;
  if (held.ended) return;
  sequence.block_table = held.pages;
  const std::span<const TokenId> tokens = held.tokens;
  const int32_t end = held.num_computed + sequence.rows;
  sequence.prompt_size = held.prompt_size;
  sequence.num_computed = held.num_computed;
  sequence.token_ids =
      tokens.subspan(static_cast<size_t>(held.num_computed), static_cast<size_t>(sequence.rows));
  sequence.sample = end == held.size() && held.size() < held.end.max_size;
  const bool too_short = held.size() - held.prompt_size < held.end.min_tokens;
  sequence.sampling = too_short ? held.without_stops.get() : &held.sampling;
  if (sequence.sample) sequence.token_counts = held.counter.counts();
  if (sequence.sample) sequence.state = held.state.get();
  if (held.num_computed + 1 < held.prompt_size) sequence.prompt_logprobs = held.prompt_logprobs;
  if (end < held.prompt_size) sequence.next_prompt_token = held.tokens[static_cast<size_t>(end)];
}

void SequenceTable::Refuse(Held& held, const std::string& fault) {
  held.refused = absl::StrCat("sequence ", held.sequence, ": ", fault);
  End(held);
}

// The coordinator may give a page to another sequence before it knows of this end.
void SequenceTable::End(Held& held) {
  held.ended = true;
  ReleasePages(held);
}

void SequenceTable::ReleasePage(const Held& held, int64_t index) {
  const BlockId page = held.pages[static_cast<size_t>(index)];
  index < held.complete_pages() ? holders_.RemoveReader(page) : holders_.RemoveWriter(page);
}

void SequenceTable::ReleasePages(Held& held) {
  for (int64_t i = 0; i < std::ssize(held.pages); ++i) ReleasePage(held, i);
  held.pages.clear();
}

absl::Status SequenceTable::Accept(const GroupStep& step, std::span<const TokenId> outcomes) {
  if (outcomes.size() != step.sequences.size()) {
    return absl::InternalError(absl::StrCat("step ", step.step, " has ", outcomes.size(), " outcomes for ",
                                            step.sequences.size(), " sequences"));
  }
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const StepSequence& sequence = step.sequences[i];
    const TokenId outcome = outcomes[i];
    const bool drawn = outcome >= 0 && outcome < options_.vocab_size;
    const bool fits = sequence.sample ? drawn || outcome == kNotFinite
                                      : outcome == kNoToken || (outcome == kNotFinite && !sequence.padding &&
                                                                sequence.prompt_logprobs >= 0);
    if (!fits) {
      return absl::InternalError(absl::StrCat(
          "step ", step.step, ", sequence ", sequence.sequence, ": outcome ", outcome, " of a vocabulary of ",
          options_.vocab_size, "; the sequence ", sequence.sample ? "draws" : "does not draw", " a token"));
    }
    if (sequence.padding) continue;
    Held& held = *Find(sequence.slot);
    const int64_t complete = held.complete_pages();
    held.num_computed += sequence.rows;
    for (int64_t page = complete; page < held.complete_pages(); ++page)
      holders_.WriterBecomesReader(held.pages[static_cast<size_t>(page)]);
    if (outcome == kNotFinite) End(held);
    if (!drawn) continue;
    held.tokens.push_back(outcome);
    if (held.sampling.uses_penalties()) held.counter.AddOutput({&outcome, 1});
    if (model::EndAfter(held.end, held.prompt_size, held.size(), outcome) != model::SequenceEnd::kNone)
      End(held);
    if (held.state != nullptr && !held.ended) AdvanceState(held, outcome);
  }
  return absl::OkStatus();
}

// All ranks of the group advance the same state, so all refuse alike.
void SequenceTable::AdvanceState(Held& held, TokenId token) {
  const absl::StatusOr<bool> accepted = held.state->Accept(token);
  if (!accepted.ok())
    return Refuse(held, absl::StrCat("its constraint failed: ", std::string(accepted.status().message())));
  if (!*accepted)
    Refuse(held, absl::StrCat("its constraint does not allow token ", token, ", which was drawn"));
}

}  // namespace deeprack::worker
