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
                        .drafting = std::move(step.header.drafting),
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
  DR_RETURN_IF_ERROR(CheckDrafting(resolved));
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
  if (std::ssize(header.drafting) > options_.most_drafts)
    return FaultOfStep("drafting has ", header.drafting.size(), " entries; a sequence makes at most ",
                       options_.most_drafts, " drafts");
  for (const std::vector<int32_t>& groups : header.drafting) {
    if (std::ssize(groups) != options_.dp)
      return FaultOfStep("drafting has ", groups.size(), " entries for ", options_.dp, " dp groups");
    for (const int32_t sequences : groups) {
      if (sequences < 0 || sequences > options_.limits.max_sequences)
        return FaultOfStep("drafting says ", sequences, " sequences; a step takes ",
                           options_.limits.max_sequences, " of a dp group");
    }
  }
  return absl::OkStatus();
}

// The exchanges of all groups' ranks have the sizes that `drafting` says.
absl::Status SequenceTable::CheckDrafting(const GroupStep& step) const {
  for (int32_t d = 0; d < options_.most_drafts; ++d) {
    const auto drafting = std::count_if(step.sequences.begin(), step.sequences.end(),
                                        [d](const StepSequence& s) { return s.next_drafts > d; });
    const auto at = static_cast<size_t>(d);
    const int32_t told =
        at < step.drafting.size() ? step.drafting[at][static_cast<size_t>(options_.dp_rank)] : 0;
    if (told != drafting)
      return FaultOfStep("drafting says that ", told, " sequences of dp group ", options_.dp_rank,
                         " make more than ", d, " drafts, and ", drafting, " do");
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

std::string SequenceTable::FaultOfRows(const Held& held, const model::SequenceRows& rows) const {
  const int32_t left = held.size() - held.num_computed, known = rows.rows - rows.drafts;
  if (known > left) return absl::StrCat(known, " rows of a sequence with ", left, " tokens to compute");
  const bool draws = known == left && held.size() < held.end.max_size;
  if (!draws && (rows.drafts > 0 || rows.next_drafts > 0))
    return absl::StrCat(rows.drafts, " drafts to verify and ", rows.next_drafts,
                        " drafts to make where nothing is drawn");
  if (draws && rows.drafts >= held.end.max_size - held.size())
    return absl::StrCat(rows.drafts, " drafts to verify of a sequence that ends after ",
                        held.end.max_size - held.size(), " more tokens");
  const int64_t end = int64_t{held.num_computed} + rows.rows + std::max(0, rows.next_drafts - 1);
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
  if (rows.rows < 1 || rows.rows > options_.limits.max_context || (step.decodes_only && rows.rows != 1 + rows.drafts))
    return FaultOfStep(rows.rows, " rows at slot ", rows.slot, "; a sequence has 1 to ",
                       options_.limits.max_context, ", and 1 beside its drafts in a step of decodes only");
  if (rows.drafts < 0 || rows.drafts > std::min(options_.most_drafts, rows.rows - 1) ||
      rows.next_drafts < 0 || rows.next_drafts > options_.most_drafts)
    return FaultOfStep(rows.drafts, " drafts to verify and ", rows.next_drafts, " to make, with ", rows.rows,
                       " rows at slot ", rows.slot, "; a sequence has 0 to ", options_.most_drafts);
  held->last_step = next_step_;
  if (!held->ended) {
    if (const std::string fault = FaultOfRows(*held, rows); !fault.empty()) Refuse(*held, fault);
  }
  StepSequence& sequence = step.sequences.emplace_back();
  sequence.slot = rows.slot;
  sequence.sequence = held->sequence;
  sequence.rows = rows.rows;
  sequence.next_drafts = rows.next_drafts;
  sequence.drafts = held->ended ? 0 : rows.drafts;
  Resolve(*held, sequence);
  if (step.decodes_only && !sequence.padding &&
      (!sequence.sample || sequence.num_computed < sequence.prompt_size))
    return FaultOfStep("decodes_only, and sequence ", sequence.sequence, " computes position ",
                       sequence.num_computed, " of ", held->size(), " tokens, ", sequence.prompt_size,
                       " of its prompt");
  return absl::OkStatus();
}

void SequenceTable::Resolve(Held& held, StepSequence& sequence) {
  sequence.refused = held.refused;
  sequence.padding = held.ended;
  if (held.ended) return;
  sequence.block_table = held.pages;
  const int32_t known = sequence.rows - sequence.drafts, end = held.num_computed + known;
  sequence.prompt_size = held.prompt_size;
  sequence.num_computed = held.num_computed;
  sequence.token_ids = std::span<const TokenId>(held.tokens)
                           .subspan(static_cast<size_t>(held.num_computed), static_cast<size_t>(known));
  if (sequence.drafts > 0) {
    // A draft that was not made is token 0, which is verified as any other.
    held.drafts.resize(static_cast<size_t>(sequence.drafts), 0);
    held.drafted_rows.assign(sequence.token_ids.begin(), sequence.token_ids.end());
    held.drafted_rows.insert(held.drafted_rows.end(), held.drafts.begin(), held.drafts.end());
    sequence.token_ids = held.drafted_rows;
  }
  if (held.num_computed + 1 < held.prompt_size) sequence.prompt_logprobs = held.prompt_logprobs;
  if (end < held.size()) sequence.next_token = held.tokens[static_cast<size_t>(end)];
  sequence.sample = end == held.size() && held.size() < held.end.max_size;
  if (!sequence.sample) return;
  sequence.end = &held.end;
  sequence.sampling = &held.sampling;
  sequence.sampling_below_min = held.without_stops.get();
  sequence.draws_below_min = std::max(0, held.end.min_tokens - (held.size() - held.prompt_size));
  sequence.token_counts = held.counter.counts();
  sequence.state = held.state.get();
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

absl::Status SequenceTable::Accept(const GroupStep& step, const StepOutcomes& outcomes) {
  DR_RETURN_IF_ERROR(CheckOutcomes(step, outcomes));
  std::span<const TokenId> tokens = outcomes.tokens, drafts = outcomes.drafts;
  for (const StepSequence& sequence : step.sequences) {
    const auto of_sequence = tokens.first(static_cast<size_t>(sequence.outcomes()));
    const auto next_drafts = drafts.first(static_cast<size_t>(sequence.next_drafts));
    tokens = tokens.subspan(of_sequence.size());
    drafts = drafts.subspan(next_drafts.size());
    if (sequence.padding) continue;
    TakeOutcomes(sequence, of_sequence);
    Find(sequence.slot)->drafts.assign(next_drafts.begin(), next_drafts.end());
  }
  return absl::OkStatus();
}

absl::Status SequenceTable::CheckOutcomes(const GroupStep& step, const StepOutcomes& outcomes) const {
  int64_t tokens = 0, drafts = 0;
  for (const StepSequence& sequence : step.sequences) {
    tokens += sequence.outcomes();
    drafts += sequence.next_drafts;
  }
  if (tokens != std::ssize(outcomes.tokens) || drafts != std::ssize(outcomes.drafts)) {
    return absl::InternalError(absl::StrCat("step ", step.step, " has ", outcomes.tokens.size(),
                                            " outcomes and ", outcomes.drafts.size(), " drafts; ", tokens,
                                            " and ", drafts, " were due"));
  }
  std::span<const TokenId> left = outcomes.tokens;
  for (const StepSequence& sequence : step.sequences) {
    const auto of_sequence = left.first(static_cast<size_t>(sequence.outcomes()));
    left = left.subspan(of_sequence.size());
    if (const std::string fault = FaultOfOutcomes(sequence, of_sequence); !fault.empty())
      return absl::InternalError(
          absl::StrCat("step ", step.step, ", sequence ", sequence.sequence, ": ", fault));
  }
  for (const TokenId draft : outcomes.drafts) {
    if (draft < 0 || draft >= options_.vocab_size)
      return absl::InternalError(
          absl::StrCat("step ", step.step, ": draft ", draft, " of a vocabulary of ", options_.vocab_size));
  }
  return absl::OkStatus();
}

std::string SequenceTable::FaultOfOutcomes(const StepSequence& sequence,
                                           std::span<const TokenId> outcomes) const {
  const TokenId first = outcomes.front();
  const auto is_token = [this](TokenId token) { return token >= 0 && token < options_.vocab_size; };
  const bool fits = sequence.sample ? is_token(first) || first == kNotFinite
                                    : first == kNoToken || (first == kNotFinite && !sequence.padding &&
                                                            sequence.prompt_logprobs >= 0);
  if (!fits) {
    return absl::StrCat("outcome ", first, " of a vocabulary of ", options_.vocab_size, "; the sequence ",
                        sequence.sample ? "draws" : "does not draw", " a token");
  }
  for (int32_t i = 1; i < sequence.outcomes(); ++i) {
    const auto at = static_cast<size_t>(i);
    if (outcomes[at] == kNoToken) continue;
    if (!is_token(outcomes[at]) || outcomes[at - 1] != sequence.DraftsBefore(i).back())
      return absl::StrCat("outcome ", outcomes[at], " follows ", outcomes[at - 1], " where draft ",
                          sequence.DraftsBefore(i).back(), " was verified");
  }
  return "";
}

void SequenceTable::TakeOutcomes(const StepSequence& sequence, std::span<const TokenId> outcomes) {
  Held& held = *Find(sequence.slot);
  const auto kept = static_cast<int32_t>(
      std::count_if(outcomes.begin(), outcomes.end(), [](TokenId outcome) { return outcome >= 0; }));
  const int64_t complete = held.complete_pages();
  // The last of the kept tokens is not computed yet; the others are drafts that proved right.
  held.num_computed += sequence.RowsBefore(std::max(0, kept - 1));
  for (int64_t page = complete; page < held.complete_pages(); ++page)
    holders_.WriterBecomesReader(held.pages[static_cast<size_t>(page)]);
  if (outcomes.front() == kNotFinite) End(held);
  for (const TokenId token : outcomes.first(static_cast<size_t>(kept))) {
    if (held.ended) return;
    held.tokens.push_back(token);
    if (held.sampling.uses_penalties()) held.counter.AddOutput({&token, 1});
    if (model::EndAfter(held.end, held.prompt_size, held.size(), token) != model::SequenceEnd::kNone)
      End(held);
    if (held.state != nullptr && !held.ended) AdvanceState(held, token);
  }
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
