// Shows an engine's logits, for checks of numbers: parity with a reference, equality between devices and
// layouts. A RankResult has tokens and log-probabilities only.
#pragma once

#include <cstdint>
#include <span>

namespace deeprack::worker {

struct SampledLogits {
  int64_t sequence_index = 0;  // index in GroupStep::sequences
  // [vocab_size], after the sequence's last position, before sampling changes them.
  std::span<const float> logits;
};

class LogitsObserver {
 public:
  virtual ~LogitsObserver() = default;

  // Engine::Execute calls this after each step that succeeds, on the rank that answers for the sequences.
  // `sampled` has the sequences that sampled, in the step's order. The logits are host memory, valid during
  // the call. With an observer, an engine on a card copies them to the host in every step.
  virtual void OnStep(std::span<const SampledLogits> sampled) = 0;
};

}  // namespace deeprack::worker
