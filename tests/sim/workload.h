// Random requests from a seed, and what each must give.
#pragma once

#include <random>
#include <vector>

#include "coordinator/request/request.h"
#include "coordinator/scheduler/scheduler_limits.h"

namespace deeprack::coordinator::sim {

// The simulated model: a history of tokens is folded into one number, and the next token is drawn from it.
inline constexpr uint64_t kEmptyHistory = 0x9e3779b97f4a7c15;
uint64_t Extend(uint64_t history, TokenId token);
TokenId NextToken(uint64_t history, uint64_t seed);

inline constexpr TokenId kVocabulary = 50;

// Pools from tight to ample, few or many step tokens, one to four groups.
SchedulerLimits RandomLimits(std::mt19937_64& random);

// Many requests begin with the same text; some stop early, some ask for log-probabilities, penalties, or
// nothing but the prompt. All can run under the limits.
Request RandomRequest(const SchedulerLimits& limits, std::mt19937_64& random);

struct ExpectedOutput {
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::kNone;
};

// What the request gives when it is alone in the world: straight from its definition, without a scheduler.
ExpectedOutput RunAlone(const SchedulerLimits& limits, const Request& request);

}  // namespace deeprack::coordinator::sim
