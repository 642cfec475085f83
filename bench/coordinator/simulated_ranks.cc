#include "bench/coordinator/simulated_ranks.h"

#include <algorithm>
#include <ctime>

#include "absl/time/clock.h"
#include "base/check.h"

namespace deeprack::bench {
namespace {

int64_t ThreadNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::ToInt64Nanoseconds(absl::DurationFromTimespec(now));
}

}  // namespace

absl::Duration TimeOfStep(const RackCost& cost, const model::StepPlan& plan) {
  absl::Duration longest;
  for (const model::GroupPlan& group : plan.groups) {
    absl::Duration time;
    for (const model::SequenceRows& rows : group.rows)
      time += rows.rows == 1 ? cost.decode : cost.prefill * rows.rows;
    longest = std::max(longest, time);
  }
  return cost.step + longest;
}

model::SequenceResult SimulatedRanks::Compute(Sequence& sequence, int32_t rows) const {
  model::SequenceResult result{.sequence = sequence.id};
  const bool ended = sequence.size >= sequence.max_size;
  if (ended) return result;  // padding
  sequence.num_computed += rows;
  if (sequence.num_computed < sequence.size) return result;
  const auto output = static_cast<size_t>(sequence.size - sequence.prompt_size);
  result.tokens = {script_[output % script_.size()]};
  ++sequence.size;
  return result;
}

absl::Status SimulatedRanks::Send(const model::StepPlan& plan) {
  const int64_t began = ThreadNanoseconds();
  StepUnderWay& step = under_way_.emplace_back();
  const absl::Duration time = TimeOfStep(cost_, plan);
  step.ready = std::max(last_ready_, absl::Now()) + time;
  last_ready_ = step.ready;
  step.result = {.epoch = plan.header.epoch,
                 .step = plan.header.step,
                 .rank_timings = {{.total_seconds = absl::ToDoubleSeconds(time)}}};
  groups_.resize(plan.groups.size());
  for (size_t g = 0; g < plan.groups.size(); ++g) {
    const model::GroupPlan& group = plan.groups[g];
    for (const SequenceSlot slot : group.closed) groups_[g].erase(slot);
    for (const model::OpenedSequence& opened : group.opened) {
      groups_[g][opened.slot] = {.id = opened.sequence,
                                 .prompt_size = opened.prompt_size,
                                 .size = static_cast<int32_t>(opened.tokens.size()),
                                 .num_computed = opened.num_computed,
                                 .max_size = opened.end.max_size};
    }
    std::vector<model::SequenceResult>& results = step.result.groups.emplace_back();
    for (const model::SequenceRows& rows : group.rows) {
      const auto found = groups_[g].find(rows.slot);
      DR_CHECK(found != groups_[g].end());
      results.push_back(Compute(found->second, rows.rows));
    }
  }
  processor_ns_ += ThreadNanoseconds() - began;
  return absl::OkStatus();
}

absl::StatusOr<model::StepResult> SimulatedRanks::Receive() {
  DR_CHECK(!under_way_.empty());
  absl::SleepFor(under_way_.front().ready - absl::Now());
  model::StepResult result = std::move(under_way_.front().result);
  under_way_.pop_front();
  return result;
}

}  // namespace deeprack::bench
