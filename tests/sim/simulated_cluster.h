// The ranks of all dp groups. They compute plans over a model of the paged KV cache that records the write to
// each slot. Reports every plan that exceeds the limits, or reads or writes a slot that it must not.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/scheduler/scheduler_limits.h"
#include "tests/unit/scheduler/rank_tables.h"

namespace deeprack::coordinator::sim {

class SimulatedCluster {
 public:
  explicit SimulatedCluster(const SchedulerLimits& limits);

  // Call it for each request. Token counts are then checked separately for the prompt and the output.
  void Expect(SequenceId sequence, int32_t prompt_size) { prompt_sizes_[sequence] = prompt_size; }
  // The sequence has ended: nothing more is kept of it.
  void Forget(SequenceId sequence) { readers_.erase(sequence); }

  // Takes the next plan: what the ranks will compute.
  absl::StatusOr<ResolvedPlan> Begin(const model::StepPlan& plan);
  // Computes it. Returns Internal, with the sequence's name, when the plan breaks a rule.
  absl::StatusOr<ResolvedResult> Execute(const ResolvedPlan& plan);
  // Ends the step with this result, which may differ from that of Execute.
  absl::Status Accept(const model::StepResult& result) { return tables_->TryAccept(result); }

  // A planted fault: drafts become tokens, whatever is drawn at their positions.
  void CommitDraftsUnverified() { commits_unverified_ = true; }

  // Replaces the ranks by new ones, in `dp` groups: every slot is empty again.
  void Replace(int32_t dp);

  // A digest of every field of every plan so far. Equal runs have equal digests.
  uint64_t digest() const { return digest_; }

 private:
  struct Slot {
    bool written = false;
    bool expanded = false;  // the form of attention in which the position was computed
    int32_t position = 0;
    TokenId token = 0;
    uint64_t history = 0;  // the hash of all tokens up to this one, inclusive
  };
  struct Page {
    uint64_t writes = 0;  // of the page since its ranks came
    std::array<Slot, kPageTokens> slots;
  };
  // What a sequence has read: a full page that was read once is right until somebody writes to it.
  struct Reader {
    struct Seen {
      const Page* page = nullptr;
      uint64_t writes = 0;
      uint64_t history = 0;  // after the page
    };
    std::vector<Seen> seen;
    std::vector<TokenId> tokens;
  };

  // What the ranks know of a sequence apart from its tokens.
  struct Held {
    model::SamplingParams sampling;
    model::EndRule end;
    std::vector<TokenId> drafts;  // for its next step
  };

  static absl::Status CheckHeader(const model::StepPlan& plan);
  absl::Status CheckPlan(const ResolvedPlan& plan) const;
  absl::Status Read(const SequencePlan& plan, Reader& reader, uint64_t& history) const;
  absl::Status ReadSlot(const SequencePlan& plan, const Slot& slot, int32_t position, Reader& reader,
                        uint64_t& history) const;
  absl::Status CheckCounts(const SequencePlan& plan, const std::vector<TokenId>& tokens) const;
  absl::StatusOr<model::SequenceResult> Run(const SequencePlan& plan);
  absl::Status CheckDrafts(const SequencePlan& plan, const Held& held) const;
  void Write(const SequencePlan& plan, int32_t position, TokenId token, uint64_t history);
  void DrawTokens(const SequencePlan& plan, Held& held, uint64_t history, model::SequenceResult& result);
  // True if the position must be computed in the expanded form of attention.
  bool Expands(const SequencePlan& plan, int32_t position) const;
  size_t PageOf(const SequencePlan& plan, int32_t position) const;
  void Digest(const ResolvedPlan& plan);

  SchedulerLimits limits_;
  std::optional<RankTables> tables_;
  std::map<SequenceId, int32_t> prompt_sizes_;
  std::unordered_map<SequenceId, Reader> readers_;
  std::unordered_map<SequenceId, Held> held_;
  bool commits_unverified_ = false;
  std::vector<Page> pages_;  // [dp, blocks_per_dp_rank]
  uint64_t digest_ = 0;
};

}  // namespace deeprack::coordinator::sim
