// The made-up workloads: how long prompts and answers are, what prompts share, how many turns there are.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/load/session_plan.h"

namespace deeprack::cli {

struct WorkloadShape {
  int64_t input_tokens = 0;   // the mean length of what a turn adds to the prompt
  int64_t output_tokens = 0;  // the mean length of an answer
  double spread = 0;          // lengths are drawn evenly from mean x (1 - spread) to mean x (1 + spread)
  int64_t prefix_tokens = 0;  // the length of a system prompt that sessions share; 0: no system prompt
  int64_t prefixes = 1;       // how many different system prompts there are
  int64_t turns = 1;          // the turns of a session
  double think_seconds = 0;   // the mean of the exponential time between an answer and the next turn
};

inline constexpr const char* kWorkloadNames = "chat, long-prompt, shared-prefix, agent";

// The shape that a name of kWorkloadNames stands for. InvalidArgument: another name.
absl::StatusOr<WorkloadShape> NamedWorkload(absl::string_view name);

// Sessions with `requests` turns in all; the last session may have fewer turns than the others. They start at
// `starts` (seconds), one entry a session, or all at 0 when `starts` is empty.
std::vector<SessionPlan> MakeSessions(const WorkloadShape& shape, int64_t requests,
                                      const std::vector<double>& starts, uint64_t seed);

// The number of sessions that MakeSessions makes.
int64_t SessionsFor(const WorkloadShape& shape, int64_t requests);

}  // namespace deeprack::cli
