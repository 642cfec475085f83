// Ranks of a rack that compute nothing: each step takes the time that a cost model says, and every sequence
// gets the tokens of a script. The step loop's port is in this file and its .cc alone.
#pragma once

#include <atomic>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/scheduler/step_executor.h"

namespace deeprack::bench {

// The time of a step is step + the longest time of a dp group: decode x its rows of one token + prefill x its
// other rows. The values of R1 on 320 GPUs with a dp group on each follow from two figures that DeepSeek has
// published for nodes of 8 H800 (DeepSeek-V3/R1 inference system overview, 2025): 14,800 output tokens a
// second at 20 to 22 tokens a second for each user, and 73,700 input tokens a second.
struct RackCost {
  absl::Duration step = absl::Milliseconds(20);
  absl::Duration decode = absl::Microseconds(320);
  absl::Duration prefill = absl::Microseconds(109);
};

absl::Duration TimeOfStep(const RackCost& cost, const model::StepPlan& plan);

// Used by the step loop's thread, except processor_time.
class SimulatedRanks final : public coordinator::StepExecutor {
 public:
  // The i-th token of a sequence's output is script[i], then from the beginning again. No token of the script
  // ends a sequence.
  SimulatedRanks(const RackCost& cost, std::vector<TokenId> script)
      : cost_(cost), script_(std::move(script)) {}

  absl::Status Send(const model::StepPlan& plan) override;
  // Waits for the step's time. A step begins when the one before has ended.
  absl::StatusOr<model::StepResult> Receive() override;

  // The processor time of all calls: it is the simulation's, and not the coordinator's.
  absl::Duration processor_time() const { return absl::Nanoseconds(processor_ns_.load()); }

 private:
  // A rank's knowledge of one sequence. `size`: tokens of prompt and output.
  struct Sequence {
    SequenceId id = 0;
    int32_t prompt_size = 0, size = 0, num_computed = 0, max_size = 0;
  };
  struct StepUnderWay {
    model::StepResult result;
    absl::Time ready;
  };
  using Slots = std::unordered_map<SequenceSlot, Sequence>;

  model::SequenceResult Compute(Sequence& sequence, int32_t rows) const;

  const RackCost cost_;
  const std::vector<TokenId> script_;
  std::vector<Slots> groups_;  // [dp]
  std::deque<StepUnderWay> under_way_;
  absl::Time last_ready_ = absl::InfinitePast();
  std::atomic<int64_t> processor_ns_{0};
};

}  // namespace deeprack::bench
