// How much one step may hold.
#pragma once

#include <cstdint>

namespace deeprack::model {

inline constexpr int32_t kDefaultMaxStepTokens = 2048;
inline constexpr int32_t kDefaultMaxSequences = 256;

struct StepLimits {
  int64_t max_step_tokens = 0;  // tokens in one step over all sequences of a dp group
  int64_t max_sequences = 0;
  int64_t max_context = 0;  // tokens of one sequence
};

}  // namespace deeprack::model
