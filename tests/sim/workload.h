// Random requests from a seed, and the output that each of them must have.
#pragma once

#include <random>
#include <vector>

#include "coordinator/request/request.h"
#include "coordinator/scheduler/scheduler_limits.h"

namespace deeprack::coordinator::sim {

// The simulated model. The history of tokens is hashed to one number, and the next token is drawn from that
// number.
inline constexpr uint64_t kEmptyHistory = 0x9e3779b97f4a7c15;
uint64_t Extend(uint64_t history, TokenId token);
// `forbidden` are tokens that must not be drawn; they are fewer than kVocabulary.
TokenId NextToken(uint64_t history, uint64_t seed, const std::vector<TokenId>& forbidden = {});

inline constexpr TokenId kVocabulary = 50;

// Random limits: tight to ample pools, few or many step tokens, one to four groups, tight to ample messages.
SchedulerLimits RandomLimits(std::mt19937_64& random);

// A random request that can run under the limits. Many requests begin with the same text. Some stop early,
// some have a priority, log-probabilities or penalties, some compute only the prompt.
Request RandomRequest(const SchedulerLimits& limits, std::mt19937_64& random);

struct ExpectedOutput {
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::kNone;
};

// The output of the request when it runs alone: computed from its definition, without a scheduler.
ExpectedOutput RunAlone(const SchedulerLimits& limits, const Request& request);

}  // namespace deeprack::coordinator::sim
