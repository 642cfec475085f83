// The JSON that the answers of both generation endpoints have in common.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/api/generation.h"
#include "coordinator/api/json_fields.h"

namespace deeprack::coordinator {

// An array with the values of the bytes, 0 to 255.
Json BytesJson(std::string_view bytes);

// Log-probabilities as JSON has them: a token that cannot be drawn has -9999, as in vLLM.
float FiniteLogprob(float logprob);

// The object `usage`: OpenAI's counts with details, and DeepSeek's prompt_cache_{hit,miss}_tokens.
Json UsageJson(const Usage& usage);

// vLLM's `stop_reason` of a choice that has ended: the stop string or the stop token's id; null for every
// other end.
Json StopReasonJson(const ChoiceUpdate& update);

// llama.cpp's object `timings`. Rates of generation leave out the first token, which the prompt's step makes.
// A rate without a time is 0.
Json TimingsJson(const ChoiceTimings& timings);

// OpenAI's count of the tokens of the request's one prompt: {object, input_tokens}.
Json InputTokensJson(const GenerationRequest& request);

// The `usage` of a stream's chunk with choices: null as OpenAI has it, or the usage so far if asked for.
Json UsageSoFar(const ChoiceUpdate& update);

// Names tokens in log-probabilities: by text, or as "token_id:7", which is different for every token.
struct TokenNames {
  const Tokenizer* tokenizer;
  bool as_ids = false;
  std::string operator()(TokenId id) const;
  // The name of a token whose shown part is `text`.
  std::string Of(TokenId id, std::string_view text) const;
};

// One entry of a chat choice's logprobs. The entry's text is the part of the token that is shown.
Json ChatLogprobJson(const TokenNames& names, const PlacedToken& token);

// The object `logprobs` of a chat choice, filled token by token. `content` has the tokens of the content,
// `reasoning_content` the tokens of the reasoning, `tool_calls` the tokens of names and arguments. Tags,
// markers and end tokens are in none of the lists.
class ChatLogprobs {
 public:
  explicit ChatLogprobs(const TokenNames& names, bool with_reasoning = true)
      : names_(names), with_reasoning_(with_reasoning) {}

  void Add(const std::vector<PlacedToken>& tokens);

  // The tokens that were added since the last Take. `content` is always there, the other lists if they have
  // entries.
  Json Take();

  bool empty() const { return content_.empty() && reasoning_.empty() && tool_calls_.empty(); }

 private:
  TokenNames names_;
  bool with_reasoning_;
  Json content_ = Json::array(), reasoning_ = Json::array(), tool_calls_ = Json::array();
};

// The object `logprobs` of /v1/completions: four arrays of the same length, filled token by token.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(const TokenNames& names) : names_(names) {}

  // A token of the prompt, which shows `text`. `position` is null for the prompt's first token: no
  // token is before the first.
  void AddPrompt(TokenId id, std::string_view text, const model::PositionLogprobs* position);
  // The generated tokens of a delta.
  void Add(const std::vector<PlacedToken>& tokens);

  // The tokens that were added since the last Take; null if there are none. Offsets count from the first
  // token of the choice.
  Json Take();

 private:
  void AddToken(std::string name, std::string_view text);
  void AddPosition(const model::PositionLogprobs& position);

  TokenNames names_;
  int64_t offset_ = 0;  // in characters of the choice's text
  Json tokens_ = Json::array(), token_logprobs_ = Json::array();
  Json top_logprobs_ = Json::array(), text_offsets_ = Json::array();
};

// vLLM's `prompt_logprobs`, filled token by token: null for the prompt's first token, and for each further
// one
// {"ID": {"logprob", "rank", "decoded_token"}} with the token itself and the most likely ones. `rank` counts
// from 1. It is null if the token is not among the most likely ones.
class PromptLogprobs {
 public:
  // `number`: of most likely tokens at each token.
  PromptLogprobs(const Tokenizer* tokenizer, int32_t number) : tokenizer_(tokenizer), number_(number) {}

  // The next tokens of the prompt; the first call begins with the second token.
  void Add(std::span<const model::PositionLogprobs> positions);

  Json Take() { return std::exchange(entries_, Json::array()); }

 private:
  Json Entry(const model::TokenLogprob& token, const Json& rank) const;

  const Tokenizer* tokenizer_;
  int32_t number_;
  Json entries_ = Json::array({nullptr});
};

// "data: {...}\n\n"
std::string SseEvent(const Json& data);

// Compact JSON. Invalid UTF-8 becomes U+FFFD.
std::string Dump(const Json& json);

// `prefix` ("chatcmpl-", "cmpl-", "call_") and 24 random hexadecimal digits.
std::string MakeId(const std::string& prefix, ApiContext& context);

// A whole answer of JSON, and the answer to a request that failed.
HttpResponse JsonResponse(const Json& json, int status = 200);
HttpResponse ErrorResponse(const ApiError& error, ErrorShape shape = ErrorShape::kOpenAi,
                           absl::string_view request_id = {});

// The second half of a BodyEndpoint whose answer is known.
std::function<void()> Answering(std::shared_ptr<HttpExchange> exchange, HttpResponse response);

void RespondError(HttpExchange& exchange, const ApiError& error, ErrorShape shape = ErrorShape::kOpenAi);
void RespondJson(HttpExchange& exchange, const Json& json, int status = 200);

// Sends a stream's event that has the usage and no choices.
void SendUsage(HttpExchange& exchange, Json head, const Usage& usage);

// Ends a stream: with "[DONE]", or with an error as the last event.
void EndStream(HttpExchange& exchange);
void EndStreamWithError(HttpExchange& exchange, const ApiError& error);

}  // namespace deeprack::coordinator
