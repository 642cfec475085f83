// Decides alone which sequences run in each step. A pure state machine: no clock, network, thread or
// randomness; the same calls in the same order give the same plans.
//
//   Add, Cancel    any time
//   Plan           -> StepPlan     the step is under way from here
//   Apply(result)  -> events       until here, in the order of steps
//   Interrupt      -> events       the epoch is over, with steps under way or without
//   Resume         -> events       a new epoch has begun; then the next Plan
//
// Up to SchedulerLimits::steps_under_way steps are planned before the first of them is applied. A plan does
// not need the tokens that earlier steps draw: it says how many rows a sequence has, and the ranks know the
// tokens. A sequence that ends in one step may have rows in the next one, which was planned before the end
// was known. Its ranks compute these rows as padding.
//
// Policy
// - The order of service is (priority, arrival): the sequence with the smaller priority comes first, and of
//   equal priorities the one that arrived first. "First", "last" and "earlier" below mean this order. A
//   sequence keeps its place in it until its end.
// - Every sequence that decodes gets its one token first. Prefill chunks get the rest of max_step_tokens (per
//   dp group), and in a step with decodes at most PrefillTokensBesideDecodes, which keeps to the pace that
//   PrefillPace learns from what steps took. Half of these tokens goes to
//   prefills in the order of service, half to short ones (prefill_shares.h). A group never runs more than
//   max_sequences sequences, nor more than it has step tokens: a prefill makes progress beside any number of
//   decodes, and decodes beside any prefill.
// - Admission is in the order of service over all groups. The head of the queue is admitted when some group
//   has tokens of the step left, and blocks for all tokens of the sequence. These blocks are reserved at
//   once, so a prefill never stops half way. Of the groups that fit, the scheduler takes the one with the
//   most free room plus cached prefix. A waiting sequence takes no page of a running one, whatever their
//   priorities.
// - While some group has blocks for the head, and no group has tokens for it, sequences near the head may
//   overtake it (AdmitShort): in a group where they are short beside the first prefill, and only while some
//   group still has blocks for the head. Such a sequence has at most half as many tokens as that prefill has
//   left, and the next one at most half as many as its own first prefill, so the head is admitted in the end.
// - Sequences that decode may have drafts (draft_policy.h says how many). Drafts get the step's tokens that
//   decodes and prompts leave, and no sequence is preempted for a draft's page. While a step with drafts, or
//   one that makes drafts, is under way, no other step is planned: its positions are not known.
// - When a decode finds no block, the last running sequence of its group is preempted (perhaps the decoding
//   one itself): its blocks become free, and the sequence waits again at its place in the order of service.
//   Its output so far is replayed behind its prompt. Draws depend on the position, so the sequence continues
//   with the same tokens as without preemption. A step that had to preempt admits no sequence if it has any
//   other work.
// - Every sequence comes to an end unless sequences of smaller priority numbers arrive for ever. The first of
//   all running sequences is never preempted for another one, and each sequence fits alone, so it ends. While
//   no group has pages for the head of the queue, nobody else is admitted, so some group becomes empty, and
//   the head fits there. An endless stream of a smaller priority number may starve the sequences of larger
//   ones, as in vLLM; equal priorities never starve one another.
// - The ranks of a group are sent a sequence once, when it has its first rows; then what changes. What a
//   group is sent fits one message of max_message_bytes (model/step/message_size.h): sequences that are
//   opened take at most half of it, and the rest waits for the next step. A request that would not fit alone
//   is refused. Results fit one message too: prompt chunks with log-probabilities are made short enough.
// - Pages go back to the pool when no step under way has rows that may write to them. A preempted sequence's
//   pages go back at once: the ranks compute steps in order, and the plan that gives the pages to another
//   sequence closes this one.
// - Later sequences with the same history and salt use full blocks again, of prompt and of output. If prompts
//   are computed in another form than outputs (SchedulerLimits::prefill_attention), only blocks that lie
//   wholly within prompts are published and found. A found block then holds the bits that the sequence itself
//   would have computed.
// - An interruption takes every page away: all sequences wait again, in the order of service, and are
//   replayed as preempted ones are.
// - One request must not end the ranks of all requests again and again. A sequence that has rows under way
//   in two interruptions and decodes nothing in between is a suspect. Suspects run alone, one step under way,
//   one after another in the order of service, until each has decoded a token. A suspect that breaks its step
//   alone ends with an error. So two losses by chance cost only time, and a third loss costs only the
//   sequence that ran alone in that step. A sequence does not run alone after a single broken step: machines
//   fail more often than requests break them, and replaying sequences one by one is slow.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/blocks/block_pool.h"
#include "coordinator/request/request.h"
#include "coordinator/scheduler/draft_policy.h"
#include "coordinator/scheduler/prefill_pace.h"
#include "coordinator/scheduler/prefill_shares.h"
#include "coordinator/scheduler/scheduler_limits.h"
#include "coordinator/scheduler/sequence.h"
#include "coordinator/scheduler/serving_stats.h"
#include "coordinator/scheduler/step_under_way.h"
#include "model/step/step_plan.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

// Checks that plans under these limits fit one message. If not, InvalidArgument with the numbers. Reads dp,
// max_sequences, max_context and max_message_bytes.
absl::Status CheckPlanSize(const SchedulerLimits& limits);

// The limits for another layout. Pages beyond the most that a plan can name are not used.
SchedulerLimits InLayout(SchedulerLimits limits, int32_t blocks_per_dp_rank, int32_t dp);

// Checks that a request can run under these limits. If not, InvalidArgument with the numbers. Pure, so any
// thread may call it before it queues the request. A request is valid if its prompt fits, even if its
// max_tokens reaches beyond the context or the cache: the sequence then ends there with kLength.
absl::Status CheckRequest(const SchedulerLimits& limits, const Request& request);

class Scheduler {
  friend class SchedulerPeer;  // of the tests

 public:
  // Limits must be positive numbers (a bug otherwise).
  Scheduler(const SchedulerLimits& limits, Epoch epoch);

  // Queues a request under an id greater than all before. The id is only a name: the order of service is
  // (request.priority, order of the calls of Add). Errors: those of CheckRequest.
  absl::Status Add(SequenceId id, Request request);

  // Ends a sequence and returns its last event. Returns nullopt if the sequence is unknown or has ended.
  std::optional<TokenEvent> Cancel(SequenceId id);

  // Returns the next step. nullopt: there is none before a step under way is applied, or no sequence.
  std::optional<model::StepPlan> Plan();

  // Call it when Plan returned nullopt although there are sequences and no step is under way, which is a
  // fault of the scheduler. Ends the one sequence that could not be planned (kError, Internal) and returns
  // its last event. The other sequences continue.
  TokenEvent EndStalled();

  // Applies the result of the oldest step under way. Returns events in the plan's order, one for each token;
  // a sequence that only prefilled has none. A sequence whose logits are not finite ends (kError), and the
  // prefix cache forgets its pages. A sequence that the ranks refused ends (kError). Internal when the result
  // does not belong to the plan; then nothing has changed.
  absl::StatusOr<std::vector<TokenEvent>> Apply(const model::StepResult& result);

  // The ranks are gone, and with them every page. Steps under way are given up. All sequences wait again,
  // except a suspect that was alone in its step: that one ends (kError, with `why`). Plan must not be called
  // until Resume.
  std::vector<TokenEvent> Interrupt(const absl::Status& why);

  // Continues with new ranks in `dp` dp groups, each rank with `blocks_per_dp_rank` pages. With fewer pages
  // than before, sequences that are too long for a group's pages end: with kLength if they fill the pages
  // exactly, else with kError.
  std::vector<TokenEvent> Resume(Epoch epoch, int32_t blocks_per_dp_rank, int32_t dp);

  // Ends every sequence with kError, also with steps under way, which are given up.
  std::vector<TokenEvent> Abort(const absl::Status& why);

  bool idle() const { return live_ == 0; }  // no sequence is left that waits for an event
  int64_t steps_under_way() const { return std::ssize(steps_); }
  bool interrupted() const { return interrupted_; }
  ServingStats Stats() const;

 private:
  struct Group {  // the share of one dp rank in the cache and in the step
    BlockPool pool;
    SequenceSet running;
    std::vector<Sequence*> changed;     // with block tables that the ranks do not know yet
    std::vector<SequenceSlot> closing;  // of sequences that have gone; the next plan closes them
    std::vector<SequenceSlot> free_slots;
    SequenceSlot next_slot = 0;  // the slots from this one on were never used
    // In the plan that is being made.
    int32_t step_tokens_left = 0;
    int64_t opened_bytes_left = 0;
    // The first prefill that this plan leaves unfinished. nullopt: there is none, or not yet.
    std::optional<PrefillDemand> first_unfinished;
    // Bytes of this step's result that are left for log-probabilities of prompts.
    int64_t logprob_bytes_left = 0;
    std::vector<Sequence*> decodes;  // in the order of service; each has the page of its next token
    int32_t drafts_left = 0;         // rows of this step that are left for drafts
    int64_t backlog = 0;             // tokens of prompts that are yet to be computed
  };
  struct Placement {
    int32_t dp_rank = 0;
    std::vector<BlockPool::Page> cached;
  };

  // The phases of Plan (plan.cc).
  void PlanAlone(Sequence& suspect);
  void ChooseDecodes();
  void PlanDecodes();
  void CountBacklogs();
  int32_t DraftsOf(Sequence& sequence, const Group& group);
  int32_t NextDraftsOf(Sequence& sequence, int32_t rows, int32_t drafts);
  void PlanPrefills();
  void PlanPrefillsOf(Group& group);
  void AdmitWaiting();
  void AdmitShort();
  void ScheduleChunk(Sequence& sequence, int32_t most_tokens);
  void Schedule(Sequence& sequence, int32_t rows, int32_t drafts);
  void Open(Sequence& sequence);
  model::StepPlan FinishPlan();
  void CountDrafting(size_t group);
  void TellPages(Group& group, model::GroupPlan& out);
  void Admit(Sequence& sequence, const Placement& placement);
  bool ReserveOrPreempt(Sequence& sequence);
  void Preempt(Sequence& sequence);
  Sequence* LastRunningBut(const Sequence* spared);
  int64_t OpenedBytes(const Sequence& sequence) const;
  int64_t ResultBytes(const Sequence& sequence) const;
  int64_t DecodeResultBytes(const Group& group) const;
  void PutBack(Sequence& sequence);
  void LeaveGroup(Sequence& sequence);
  std::optional<Placement> Place(Sequence& sequence);
  std::optional<Placement> PlaceShort(Sequence& sequence, Sequence& head);
  bool HeadFitsBeside(Sequence& head, int32_t dp_rank, int32_t pages_taken);
  std::optional<int64_t> Fits(Sequence& sequence, int32_t dp_rank, int32_t slots_taken = 0,
                              int32_t pages_taken = 0);
  // Positions whose pages may be shared with other sequences.
  int32_t SharedEnd(const Sequence& sequence) const;
  void MarkChanged(Sequence& sequence);

  // The parts of Apply (apply.cc).
  using Entry = StepUnderWay::Entry;
  absl::Status CheckStep(const model::StepResult& result) const;
  absl::Status CheckResult(const model::StepResult& result) const;
  void ApplyTo(const Entry& entry, const model::SequenceResult& result, std::vector<TokenEvent>& events);
  void ObservePace(const StepUnderWay& step, const model::StepResult& result);
  void TakeTokens(const Entry& entry, const model::SequenceResult& result, TokenEvent& event,
                  std::vector<TokenEvent>& events);
  // `tokens`: how many the step drew.
  void TakeComputed(const Entry& entry, int64_t tokens);
  void TakePromptLogprobs(const Entry& entry, const model::SequenceResult& result, TokenEvent& event);
  void TakeToken(Sequence& sequence, TokenId token, TokenEvent& event);
  void EndRefused(Sequence& sequence, const std::string& reason, TokenEvent& event);
  void ForgetPages(const Entry& entry);
  void EndNonFinite(const Entry& entry, const model::NonFiniteRow& row, TokenEvent& event);

  // The parts of Interrupt and Resume (interrupt.cc).
  void GiveUpSteps(const absl::Status& why, std::vector<TokenEvent>& events);
  std::optional<TokenEvent> FitAnew(Sequence& sequence) const;

  void MakeGroups();
  void End(Sequence& sequence);  // its last event is made; removes it as soon as no step has rows of it
  void Remove(Sequence& sequence);
  void TakeSlot(Sequence& sequence);
  Sequence& at(SequenceId id) { return *sequences_.at(id); }

  SchedulerLimits limits_;
  Epoch epoch_;
  std::vector<Group> groups_;  // outlives sequences_, whose block tables point here
  std::map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  SequenceSet waiting_;             // each sequence without a last event is here or in one group's `running`
  SequenceSet suspects_;            // waiting or running
  std::deque<StepUnderWay> steps_;  // under way, the oldest first
  int64_t live_ = 0;                // sequences without a last event
  bool interrupted_ = false;
  // The plan that is being made.
  model::StepPlan plan_;
  StepUnderWay planned_;
  bool preempted_in_this_plan_ = false;
  int32_t next_drafts_ = 0;  // that the ranks make for each sequence that draws, where there is room
  SequenceId last_id_ = 0;
  uint64_t arrivals_ = 0;
  StepId next_step_ = 1;
  DraftPolicy draft_policy_;
  PrefillPace prefill_pace_;
  ServingStats totals_;  // the counters of Stats; Stats fills in the gauges
};

}  // namespace deeprack::coordinator
