// The sequences of a rank's dp group, by slot: their tokens, positions and block tables. Every rank of the
// group keeps the same table: it does what the plans say and appends the tokens that the group draws, so all
// ranks know each sequence's positions and end without asking the coordinator. Pure: no clock, no messages.
//
// A step: Begin, then the engine computes, then Accept. The work of a step grows with its rows and with what
// it opens, closes and changes, not with the context.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "constraint/state_maker.h"
#include "model/step/step_limits.h"
#include "model/step/step_plan.h"
#include "worker/sequences/group_step.h"
#include "worker/sequences/page_holders.h"
#include "worker/sequences/token_counter.h"

namespace deeprack::worker {

// Equal on all ranks of the dp group.
struct SequenceTableOptions {
  Epoch epoch = 0;
  int32_t dp = 1;       // the number of dp groups
  int32_t dp_rank = 0;  // of this group
  int64_t vocab_size = 0;
  int64_t blocks = 0;        // KV pages of the group
  int32_t most_drafts = 0;   // of a sequence in a step; 0: the ranks make no drafts
  model::StepLimits limits;  // of each dp group
  std::shared_ptr<const constraint::Vocabulary> vocabulary = nullptr;  // null: no sequence has a constraint
};

class SequenceTable {
 public:
  // Slots are in [0, kSlotsPerSequence * max_sequences).
  static constexpr int64_t kSlotsPerSequence = 4;

  explicit SequenceTable(const SequenceTableOptions& options);

  // Does the plan's parts in their order and returns the step for the engine. The views in the step are valid
  // until Accept, or until the table is destroyed.
  //
  // A fault of one sequence ends that sequence: its rows become padding (StepSequence::refused). The faults:
  // a value of `opened` outside its range, a page outside the cache, a page that the sequence or another one
  // may write in two places or may write while another one reads it, a block table that does not cover the
  // rows and the drafts, more rows than tokens that are left, drafts to verify where nothing or too little is
  // drawn, drafts to make where nothing is drawn, a constraint that cannot be compiled or does not allow the
  // output.
  //
  // A fault of the step is an error, after which the table must not be used: the epoch has ended. The
  // faults: another epoch (FailedPrecondition), a step that is not the next one, rows that do not add up to
  // rows_of_group or exceed the limits, drafts that do not add up to `drafting` or exceed most_drafts, a slot
  // outside its range, unknown, taken or twice in the rows, and decodes_only for a sequence that does more
  // than decode (InvalidArgument).
  absl::StatusOr<GroupStep> Begin(model::RankStep step);

  // Ends the step that Begin returned last. Internal: an outcome that the step cannot have, after which the
  // table must not be used.
  absl::Status Accept(const GroupStep& step, const StepOutcomes& outcomes);

 private:
  struct Held {
    SequenceId sequence = 0;
    int32_t prompt_size = 0;
    int32_t num_computed = 0;
    std::vector<TokenId> tokens;        // the prompt, then the output so far
    std::vector<TokenId> drafts;        // of the tokens after these, made in the last step with rows
    std::vector<TokenId> drafted_rows;  // StepSequence::token_ids of a step with drafts
    model::SamplingParams sampling;
    // `sampling` with the stop tokens forbidden, for a sequence that was opened with fewer than min_tokens
    // tokens of output.
    std::unique_ptr<model::SamplingParams> without_stops;
    model::EndRule end;
    std::unique_ptr<constraint::TokenState> state;  // null: no constraint
    int32_t prompt_logprobs = -1;
    std::vector<BlockId> pages;  // the block table
    TokenCounter counter;        // filled while penalties are used
    bool ended = false;
    std::string refused;   // the reason, if it has ended by a fault of the plan
    StepId last_step = 0;  // the last step in which it had rows

    int32_t size() const { return static_cast<int32_t>(tokens.size()); }
    int64_t complete_pages() const { return num_computed / kPageTokens; }
  };

  absl::Status CheckHeader(const model::StepHeader& header) const;
  absl::Status Close(SequenceSlot slot);
  absl::Status Open(model::OpenedSequence opened);
  absl::Status ChangePages(const model::PageChange& change);
  // The fault of the change, or empty.
  std::string FaultOfPages(Held& held, const model::PageChange& change);
  // The fault of the sequence's rows, or empty.
  std::string FaultOfRows(const Held& held, const model::SequenceRows& rows) const;
  absl::Status AddRows(const model::SequenceRows& rows, GroupStep& step);
  static void Resolve(Held& held, StepSequence& sequence);
  absl::Status CheckDrafting(const GroupStep& step) const;
  absl::Status CheckOutcomes(const GroupStep& step, const StepOutcomes& outcomes) const;
  // The fault of the sequence's entries of StepOutcomes::tokens, or empty.
  std::string FaultOfOutcomes(const StepSequence& sequence, std::span<const TokenId> outcomes) const;
  void TakeOutcomes(const StepSequence& sequence, std::span<const TokenId> outcomes);

  // Null: the slot is free or outside its range.
  Held* Find(SequenceSlot slot);
  absl::Status UnknownSlot(SequenceSlot slot, const char* part) const;
  template <class... Parts>
  absl::Status FaultOfStep(const Parts&... parts) const;
  void AdvanceState(Held& held, TokenId token);
  void Refuse(Held& held, const std::string& fault);
  void End(Held& held);
  void ReleasePage(const Held& held, int64_t index);
  void ReleasePages(Held& held);

  const SequenceTableOptions options_;
  PageHolders holders_;
  constraint::StateMaker states_;
  std::vector<std::unique_ptr<Held>> slots_;  // null: free
  StepId next_step_ = 1;
};

}  // namespace deeprack::worker
