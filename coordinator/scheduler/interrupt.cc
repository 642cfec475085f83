// Scheduler::Interrupt and Resume: the end of an epoch, and the start of the next.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/blocks/block_table.h"
#include "coordinator/scheduler/scheduler.h"

namespace deeprack::coordinator {
namespace {

// Interruptions in a row with rows of a sequence under way. After kSuspect of them the sequence runs alone;
// after kConvicted of them it ends.
constexpr int32_t kSuspect = 2;
constexpr int32_t kConvicted = 3;

}  // namespace

std::vector<TokenEvent> Scheduler::Interrupt(const absl::Status& why) {
  std::vector<TokenEvent> events;
  GiveUpSteps(why, events);
  for (Group& group : groups_) {
    while (!group.running.empty()) PutBack(**group.running.begin());
  }
  interrupted_ = true;
  return events;
}

void Scheduler::GiveUpSteps(const absl::Status& why, std::vector<TokenEvent>& events) {
  std::set<Sequence*, ServedEarlier> under_way;
  for (const StepUnderWay& step : std::exchange(steps_, {})) {
    for (const auto& group : step.groups) {
      for (const Entry& entry : group) under_way.insert(entry.sequence);
    }
  }
  for (Sequence* sequence : under_way) {
    sequence->steps_under_way = sequence->draws_under_way = 0;
    if (sequence->ended) {
      Remove(*sequence);
      continue;
    }
    if (++sequence->broken_steps >= kSuspect) suspects_.insert(sequence);
    if (sequence->broken_steps < kConvicted || under_way.size() > 1) continue;
    TokenEvent& event = events.emplace_back(EventOf(*sequence));
    event.finish = FinishReason::kError;
    event.error = absl::InternalError(absl::StrCat("given up: ", sequence->broken_steps,
                                                   " steps in a row that computed this request broke, ",
                                                   "the last one with nothing else in it: ", why.message()));
    End(*sequence);
  }
}

std::vector<TokenEvent> Scheduler::Resume(Epoch epoch, int32_t blocks_per_dp_rank, int32_t dp) {
  DR_CHECK(interrupted_ && epoch > epoch_ && blocks_per_dp_rank > 0 && dp > 0);
  interrupted_ = false;
  epoch_ = epoch;
  next_step_ = 1;
  limits_ = InLayout(limits_, blocks_per_dp_rank, dp);
  MakeGroups();
  std::vector<TokenEvent> events;
  for (const auto& [id, sequence] : sequences_) {
    if (auto event = FitAnew(*sequence)) events.push_back(*std::move(event));
  }
  for (const TokenEvent& event : events) End(at(event.sequence));
  return events;
}

// Returns the sequence's last event if the new pages are too few for it; nullopt if they suffice.
std::optional<TokenEvent> Scheduler::FitAnew(Sequence& sequence) const {
  const int64_t limit = limits_.positions();
  sequence.end.max_size = static_cast<int32_t>(std::min<int64_t>(sequence.end.max_size, limit));
  // The sequence's positions up to its last token are computed. A sequence that goes on needs one position
  // more.
  const bool goes_on = sequence.output_size() > 0 || sequence.request.max_tokens > 0;
  if (sequence.size() + (goes_on ? 1 : 0) <= limit) return std::nullopt;
  TokenEvent event = EventOf(sequence);
  if (sequence.output_size() > 0 && sequence.size() == limit) {
    event.finish = FinishReason::kLength;
  } else {
    event.finish = FinishReason::kError;
    event.error = absl::UnavailableError(absl::StrCat("after a rank was lost the KV cache holds ", limit,
                                                      " tokens; this sequence has ", sequence.size(),
                                                      " and cannot go on"));
  }
  return event;
}

}  // namespace deeprack::coordinator
