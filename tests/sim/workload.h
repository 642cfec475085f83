// The limits of a simulation, its requests, and the output that each of them must have.
//
// When requests come and how long they are has the shape of two published traces. The numbers are generated.
// - BurstGPT (Wang et al., arXiv 2401.17644): times between requests follow a Gamma distribution, whose shape
//   changes from period to period; lengths follow Zipf's law.
// - Mooncake (Qin et al., FAST 2025): requests come in batches; prompts are many times as long as answers;
//   about half of a prompt was in an earlier request, as the earlier turns of a conversation are.
#pragma once

#include <cstdint>
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

// Random limits: tight to ample pools, few or many step tokens, one to eight groups, tight to ample messages,
// one or two steps under way, no drafts or up to three.
SchedulerLimits RandomLimits(std::mt19937_64& random);

// The requests of one run.
class Traffic {
 public:
  // Both outlive this.
  Traffic(const SchedulerLimits& limits, std::mt19937_64& random);

  // The time from one request to the next, in units of the run's mean.
  double NextGap();

  // A request that can run under the limits. Some continue an earlier conversation, or begin with the same
  // text as others. Some stop early, some have a priority, log-probabilities or penalties, some compute only
  // the prompt.
  Request NextRequest();

  // A prompt with its answer. Later requests may continue the conversation.
  void Remember(std::vector<TokenId> conversation);

 private:
  enum class Shape : uint8_t { kEven, kBurstGpt, kMooncake };

  // From [1, most].
  int32_t PromptSize(int32_t most);
  int32_t AnswerSize();
  std::vector<TokenId> Prompt(int32_t size);

  const SchedulerLimits& limits_;
  std::mt19937_64& random_;
  Shape shape_;
  double gamma_ = 1;   // the shape of the Gamma distribution in this period
  int32_t left_ = 0;   // requests of this period or of this batch
  double pareto_ = 1;  // the exponent of the lengths' tail
  std::vector<std::vector<TokenId>> conversations_;
};

// The stream of a request that runs alone: computed from its definition, without a scheduler.
class ExpectedStream {
 public:
  ExpectedStream(const SchedulerLimits& limits, const Request& request);

  // kNone: there is a next token. kLength before the first token: nothing is drawn.
  FinishReason finish() const { return finish_; }
  // The next token. finish() is then the reason to end after that token, or kNone.
  TokenId Next();
  // The cache or the context has become smaller.
  void Shrink(int64_t positions);
  int64_t size() const { return size_; }  // of the prompt and the tokens so far

 private:
  void CheckSize();

  uint64_t history_ = kEmptyHistory;
  int64_t prompt_size_, size_, max_size_;
  uint64_t seed_;
  int32_t min_tokens_;
  bool ignore_eos_;
  std::vector<TokenId> stops_;
  FinishReason finish_ = FinishReason::kNone;
};

}  // namespace deeprack::coordinator::sim
