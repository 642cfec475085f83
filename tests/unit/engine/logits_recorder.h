// Keeps the logits of an engine's last step.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "worker/engine/logits_observer.h"

namespace deeprack::worker::testing {

class LogitsRecorder final : public LogitsObserver {
 public:
  void OnStep(std::span<const SampledLogits> sampled) override {
    rows_.clear();
    for (const SampledLogits& row : sampled) {
      rows_[row.sequence_index].assign(row.logits.begin(), row.logits.end());
    }
  }

  // [vocab_size] of the sequence with this index in the step of its dp group. Null on ranks that do not
  // answer for it, and if the sequence did not sample. Valid until the next step.
  const float* Of(int64_t sequence_index) const {
    const auto found = rows_.find(sequence_index);
    return found == rows_.end() ? nullptr : found->second.data();
  }

 private:
  std::map<int64_t, std::vector<float>> rows_;
};

}  // namespace deeprack::worker::testing
