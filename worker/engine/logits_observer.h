// Shows the logits of each step to whoever checks numbers: parity with a reference, equality between devices
// and layouts. A StepResult has tokens and log-probabilities only.
#pragma once

#include <cstdint>
#include <span>

namespace deeprack::worker {

struct SampledLogits {
  int64_t sequence_index = 0;  // in the plan
  std::span<const float>
      logits;  // [vocab_size], after the sequence's last position, before sampling changes them
};

class LogitsObserver {
 public:
  virtual ~LogitsObserver() = default;

  // Called within Engine::Execute after each step that succeeds, on the rank that answers for the sequences:
  // with those that sampled, in the plan's order. Other ranks call nothing. The logits are host memory and
  // valid during the call. With an observer, a card's rank copies them to the host in every step.
  virtual void OnStep(std::span<const SampledLogits> sampled) = 0;
};

}  // namespace deeprack::worker
