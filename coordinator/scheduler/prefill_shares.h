// How one dp group's part of a step is shared among prompts. Pure functions.
//
// Two rules:
// - In a step with decodes, PrefillTokensBesideDecodes limits the tokens of prompts, because the decodes wait
//   for the whole step.
// - Half of a step's tokens of prompts go to prompts in the order of service, the other half to prompts that
//   are short beside the first one. A long prompt then takes at most twice its time, and a short one does not
//   wait for the long one. SharePrefillTokens shares the tokens out.
//
// The bound for prompt P with n tokens left. P may wait for three kinds of prompts: those with at most n
// tokens left, earlier ones with fewer than 2n tokens left, and those of a smaller priority number. Each step
// finishes the first prompt, or gives at least half of its tokens (rounded down) to P and to the prompts that
// P may wait for.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace deeprack::coordinator {

// A step computes at least one part in kBacklogSteps of the tokens that prompts have yet to compute. So a
// server with many long prompts takes longer steps, and does not fall behind.
inline constexpr int64_t kBacklogSteps = 128;

// The most tokens of prompts that a dp group computes in a step with decodes: `least`, or more if `backlog`
// asks for more. `backlog`: tokens of prompts that the group has yet to compute.
int32_t PrefillTokensBesideDecodes(int64_t backlog, int32_t least);

struct PrefillDemand {
  int64_t priority = 0;  // of the request
  int32_t tokens = 0;    // that are yet to be computed, at least 1
};

// True if a prompt is served from the half for short prompts while `first` is the first demand: it has the
// same priority and at most half of the tokens, or a smaller priority number.
bool IsShortBeside(const PrefillDemand& first, const PrefillDemand& demand);

// Shares `tokens` (0 or more) out among the demands, which stand in the order of service. Entry i: the tokens
// of demand i in this step. Of `tokens`, nothing is left over that a demand could take.
std::vector<int32_t> SharePrefillTokens(absl::Span<const PrefillDemand> demands, int32_t tokens);

}  // namespace deeprack::coordinator
