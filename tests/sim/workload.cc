#include "tests/sim/workload.h"

#include <algorithm>

namespace deeprack::coordinator::sim {
namespace {

// Draws from [low, high], equally on every standard library (std::uniform_int_distribution differs).
int32_t Draw(std::mt19937_64& random, int32_t low, int32_t high) {
  return low + static_cast<int32_t>(random() % static_cast<uint64_t>(high - low + 1));
}

bool OneIn(std::mt19937_64& random, int32_t n) { return Draw(random, 1, n) == 1; }

uint64_t Mix(uint64_t x) {  // SplitMix64's finalizer
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t Extend(uint64_t history, TokenId token) {
  return Mix(history + 0x9e3779b97f4a7c15 * (1 + uint64_t(token)));
}

TokenId NextToken(uint64_t history, uint64_t seed, const std::vector<TokenId>& forbidden) {
  auto token = static_cast<TokenId>(Mix(history ^ Mix(seed)) % kVocabulary);
  while (std::find(forbidden.begin(), forbidden.end(), token) != forbidden.end()) {
    token = (token + 1) % kVocabulary;
  }
  return token;
}

SchedulerLimits RandomLimits(std::mt19937_64& random) {
  SchedulerLimits limits;
  limits.dp = Draw(random, 1, 4);
  limits.blocks_per_dp_rank = OneIn(random, 2) ? Draw(random, 2, 8) : Draw(random, 8, 40);
  limits.max_step_tokens = OneIn(random, 3) ? Draw(random, 1, 16) : Draw(random, 16, 512);
  limits.max_sequences = Draw(random, 1, 24);
  limits.max_context = OneIn(random, 2) ? 100'000 : Draw(random, 40, 600);
  if (OneIn(random, 2)) limits.prefill_attention = model::PrefillAttention::kExpanded;
  // Half of such a message has room for a few long sequences that are opened. The largest request fits alone:
  // 2,560 positions take 13.2 KB.
  if (OneIn(random, 3)) limits.max_message_bytes = 27'000 + Draw(random, 0, 4'000);
  limits.steps_under_way = Draw(random, 1, 2);
  return limits;
}

Request RandomRequest(const SchedulerLimits& limits, std::mt19937_64& random) {
  Request request;
  const int32_t room = std::min(limits.max_context, limits.blocks_per_dp_rank * kPageTokens);
  const int32_t size = Draw(random, 1, OneIn(random, 3) ? room - 1 : std::min(room - 1, 150));
  // The prompt begins with part of one of three shared texts, and continues with random tokens.
  const int32_t shared = OneIn(random, 3) ? 0 : Draw(random, 0, size);
  const auto text = static_cast<TokenId>(Draw(random, 0, 2));
  for (int32_t i = 0; i < size; ++i) {
    request.prompt.push_back(i < shared ? (text + i * (text + 3)) % kVocabulary
                                        : Draw(random, 0, kVocabulary - 1));
  }
  request.max_tokens = OneIn(random, 8) ? 0 : Draw(random, 1, OneIn(random, 4) ? 200 : 30);
  if (OneIn(random, 3)) request.stop_token_ids = {static_cast<TokenId>(Draw(random, 0, kVocabulary - 1))};
  request.ignore_eos = OneIn(random, 4);
  if (OneIn(random, 4)) request.sampling.presence_penalty = 0.5f;
  if (OneIn(random, 4)) request.prompt_logprobs = Draw(random, 0, 3);
  if (OneIn(random, 3)) request.cache_salt.assign(1, OneIn(random, 2) ? 'a' : 'b');
  if (OneIn(random, 4)) request.priority = Draw(random, -2, 2);
  request.sampling.seed = static_cast<uint64_t>(Draw(random, 0, 3));
  if (OneIn(random, 3)) request.min_tokens = Draw(random, 0, request.max_tokens);
  return request;
}

ExpectedOutput RunAlone(const SchedulerLimits& limits, const Request& request) {
  const size_t room = std::min<size_t>(limits.max_context, size_t(limits.blocks_per_dp_rank) * kPageTokens);
  ExpectedOutput output{.finish = FinishReason::kLength};
  uint64_t history = kEmptyHistory;
  for (TokenId token : request.prompt) history = Extend(history, token);
  while (output.tokens.size() < static_cast<size_t>(request.max_tokens) &&
         request.prompt.size() + output.tokens.size() < room) {
    const bool may_stop = output.tokens.size() >= static_cast<size_t>(request.min_tokens);
    const TokenId token =
        NextToken(history, request.sampling.seed, may_stop ? std::vector<TokenId>() : request.stop_token_ids);
    output.tokens.push_back(token);
    history = Extend(history, token);
    const auto& stops = request.stop_token_ids;
    if (may_stop && !request.ignore_eos && std::find(stops.begin(), stops.end(), token) != stops.end()) {
      output.finish = FinishReason::kStop;
      break;
    }
  }
  return output;
}

}  // namespace deeprack::coordinator::sim
