#include "tests/sim/workload.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/sim/draw.h"

namespace deeprack::coordinator::sim {
namespace {

uint64_t Mix(uint64_t x) {  // SplitMix64's finalizer
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

bool Contains(const std::vector<TokenId>& tokens, TokenId token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

constexpr size_t kMostConversations = 6;

}  // namespace

uint64_t Extend(uint64_t history, TokenId token) {
  return Mix(history + 0x9e3779b97f4a7c15 * (1 + uint64_t(token)));
}

TokenId NextToken(uint64_t history, uint64_t seed, const std::vector<TokenId>& forbidden) {
  auto token = static_cast<TokenId>(Mix(history ^ Mix(seed)) % kVocabulary);
  while (Contains(forbidden, token)) token = (token + 1) % kVocabulary;
  return token;
}

SchedulerLimits RandomLimits(std::mt19937_64& random) {
  SchedulerLimits limits;
  limits.dp = OneIn(random, 3) ? 1 : Draw(random, 1, OneIn(random, 3) ? 8 : 4);
  limits.blocks_per_dp_rank = OneIn(random, 2) ? Draw(random, 2, 8) : Draw(random, 8, 40);
  limits.max_step_tokens = OneIn(random, 3) ? Draw(random, 1, 16) : Draw(random, 16, 512);
  limits.prefill_tokens_beside_decodes = OneIn(random, 2) ? Draw(random, 8, 128) : 0;
  limits.max_sequences = Draw(random, 1, 24);
  limits.max_context = OneIn(random, 2) ? 100'000 : Draw(random, 40, 600);
  if (OneIn(random, 2)) limits.prefill_attention = model::PrefillAttention::kExpanded;
  // Half of such a message has room for a few long sequences that are opened. The largest request fits alone:
  // 2,560 positions take 13.2 KB.
  if (OneIn(random, 3)) limits.max_message_bytes = 27'000 + Draw(random, 0, 4'000);
  limits.steps_under_way = OneIn(random, 3) ? 1 : 2;
  if (OneIn(random, 2)) {
    limits.drafts = {.most = Draw(random, 1, 3),
                     .adapts = OneIn(random, 3),
                     .layers = Draw(random, 1, 60),
                     .rows_per_read = Draw(random, 1, 200)};
  }
  return limits;
}

Traffic::Traffic(const SchedulerLimits& limits, std::mt19937_64& random)
    : limits_(limits),
      random_(random),
      shape_(static_cast<Shape>(Draw(random, 0, 2))),
      pareto_(0.8 + 0.6 * DrawUnit(random)) {}

double Traffic::NextGap() {
  if (left_-- > 0) return shape_ == Shape::kMooncake ? 0 : DrawGamma(random_, gamma_);
  left_ = Draw(random_, 1, 12);
  if (shape_ == Shape::kMooncake) return left_ * DrawGamma(random_, 1);  // until the next batch
  // BurstGPT's periods: from almost even to bursts whose gaps vary by three times their mean.
  constexpr double kShapes[] = {4, 1, 0.4, 0.1};
  gamma_ = shape_ == Shape::kEven ? 1 : kShapes[Draw(random_, 0, 3)];
  return DrawGamma(random_, gamma_);
}

int32_t Traffic::PromptSize(int32_t most) {
  double size = 0;
  switch (shape_) {
    case Shape::kEven:
      return Draw(random_, 1, OneIn(random_, 3) ? most : std::min(most, 150));
    case Shape::kBurstGpt:  // Zipf's law, as a distribution of real numbers
      size = 8 * std::pow(DrawUnit(random_), -1 / pareto_);
      break;
    case Shape::kMooncake:
      size = most / 6.0 * std::exp(DrawNormal(random_));
      break;
  }
  return static_cast<int32_t>(std::clamp(size, 1.0, static_cast<double>(most)));
}

int32_t Traffic::AnswerSize() {
  switch (shape_) {
    case Shape::kEven:
      return Draw(random_, 1, OneIn(random_, 3) ? 200 : 30);
    case Shape::kBurstGpt:
      return static_cast<int32_t>(std::min(300.0, 10 * std::pow(DrawUnit(random_), -1 / pareto_)));
    case Shape::kMooncake:
      return static_cast<int32_t>(std::clamp(20 * std::exp(DrawNormal(random_)), 1.0, 200.0));
  }
  return 1;
}

std::vector<TokenId> Traffic::Prompt(int32_t size) {
  std::vector<TokenId> prompt;
  // Some prompts are whole pages of one text: sequences that run side by side then compute equal pages.
  if (size > kPageTokens && OneIn(random_, 4)) {
    for (int32_t i = 0; i < size / kPageTokens * kPageTokens; ++i) prompt.push_back(i * 3 % kVocabulary);
    return prompt;
  }
  if (!conversations_.empty() && OneIn(random_, shape_ == Shape::kMooncake ? 2 : 5)) {
    prompt = conversations_[static_cast<size_t>(random_()) % conversations_.size()];
    if (std::ssize(prompt) > size) prompt.resize(static_cast<size_t>(size));
  } else {  // part of one of three texts
    const int32_t shared = OneIn(random_, 3) ? 0 : Draw(random_, 0, size);
    const auto text = static_cast<TokenId>(Draw(random_, 0, 2));
    for (int32_t i = 0; i < shared; ++i) prompt.push_back((text + i * (text + 3)) % kVocabulary);
  }
  while (std::ssize(prompt) < size) prompt.push_back(Draw(random_, 0, kVocabulary - 1));
  return prompt;
}

Request Traffic::NextRequest() {
  Request request;
  request.prompt = Prompt(PromptSize(static_cast<int32_t>(limits_.positions()) - 1));
  request.max_tokens = OneIn(random_, 12) ? 0 : AnswerSize();
  if (OneIn(random_, 3)) request.stop_token_ids = {static_cast<TokenId>(Draw(random_, 0, kVocabulary - 1))};
  request.ignore_eos = OneIn(random_, 4);
  if (OneIn(random_, 4)) request.sampling.presence_penalty = 0.5f;
  if (OneIn(random_, 4)) request.sampling.top_logprobs = Draw(random_, 0, 3);
  if (OneIn(random_, 4)) request.prompt_logprobs = Draw(random_, 0, 3);
  if (OneIn(random_, 3)) request.cache_salt.assign(1, OneIn(random_, 2) ? 'a' : 'b');
  if (OneIn(random_, 4)) request.priority = Draw(random_, -2, 2);
  request.sampling.seed = static_cast<uint64_t>(Draw(random_, 0, 3));
  if (OneIn(random_, 3)) request.min_tokens = Draw(random_, 0, request.max_tokens);
  return request;
}

void Traffic::Remember(std::vector<TokenId> conversation) {
  if (conversations_.size() < kMostConversations) {
    conversations_.push_back(std::move(conversation));
  } else {
    conversations_[static_cast<size_t>(random_()) % kMostConversations] = std::move(conversation);
  }
}

ExpectedStream::ExpectedStream(const SchedulerLimits& limits, const Request& request)
    : prompt_size_(std::ssize(request.prompt)),
      size_(prompt_size_),
      max_size_(std::min(limits.positions(), prompt_size_ + request.max_tokens)),
      seed_(request.sampling.seed),
      min_tokens_(request.min_tokens),
      ignore_eos_(request.ignore_eos),
      stops_(request.stop_token_ids) {
  for (const TokenId token : request.prompt) history_ = Extend(history_, token);
  CheckSize();
}

void ExpectedStream::CheckSize() {
  if (size_ >= max_size_) finish_ = FinishReason::kLength;
}

TokenId ExpectedStream::Next() {
  const bool may_stop = size_ - prompt_size_ >= min_tokens_;
  const TokenId token = NextToken(history_, seed_, may_stop ? std::vector<TokenId>() : stops_);
  history_ = Extend(history_, token);
  ++size_;
  CheckSize();
  if (may_stop && !ignore_eos_ && Contains(stops_, token)) finish_ = FinishReason::kStop;
  return token;
}

void ExpectedStream::Shrink(int64_t positions) {
  max_size_ = std::min(max_size_, positions);
  if (finish_ == FinishReason::kNone) CheckSize();
}

}  // namespace deeprack::coordinator::sim
