#include "coordinator/api/answer_json.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

// The log-probability of a token that cannot be drawn: JSON has no infinity.
constexpr float kLeastLogprob = -9999.0f;

// As OpenAI, writes bytes that are not whole characters as "bytes:\xc3": names of different tokens differ.
std::string NameOfBytes(std::string_view bytes) {
  if (!FirstInvalidUtf8(bytes)) return std::string(bytes);
  std::string text = "bytes:";
  for (const unsigned char byte : bytes) absl::StrAppendFormat(&text, "\\x%02x", byte);
  return text;
}

Json LogprobJson(std::string name, float logprob, std::string_view bytes) {
  return {{"token", std::move(name)}, {"logprob", FiniteLogprob(logprob)}, {"bytes", BytesJson(bytes)}};
}

double Ratio(double of, double to) { return to > 0 ? of / to : 0; }

int64_t CountCharacters(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

}  // namespace

Json BytesJson(std::string_view bytes) {
  Json json = Json::array();
  for (const unsigned char byte : bytes) json.push_back(byte);
  return json;
}

float FiniteLogprob(float logprob) { return std::max(logprob, kLeastLogprob); }

Json UsageJson(const Usage& usage) {
  Json details = {{"reasoning_tokens", usage.reasoning_tokens}};
  if (usage.accepted_drafts + usage.rejected_drafts > 0) {
    details["accepted_prediction_tokens"] = usage.accepted_drafts;
    details["rejected_prediction_tokens"] = usage.rejected_drafts;
  }
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", std::move(details)},
          {"prompt_cache_hit_tokens", usage.cached_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_tokens}};
}

Json StopReasonJson(const ChoiceUpdate& update) {
  if (!update.stop_string.empty()) return update.stop_string;
  return update.stop_token ? Json(*update.stop_token) : Json();
}

Json TimingsJson(const ChoiceTimings& timings) {
  const int64_t computed = timings.prompt_tokens - timings.cached_tokens;
  const int64_t decoded = std::max<int64_t>(timings.generated_tokens - 1, 0);
  const double prompt_ms = absl::ToDoubleMilliseconds(timings.prompt);
  const double predicted_ms = absl::ToDoubleMilliseconds(timings.generation);
  return {{"cache_n", timings.cached_tokens},
          {"prompt_n", computed},
          {"prompt_ms", prompt_ms},
          {"prompt_per_token_ms", Ratio(prompt_ms, computed)},
          {"prompt_per_second", Ratio(1e3 * computed, prompt_ms)},
          {"predicted_n", timings.generated_tokens},
          {"predicted_ms", predicted_ms},
          {"predicted_per_token_ms", Ratio(predicted_ms, decoded)},
          {"predicted_per_second", Ratio(1e3 * decoded, predicted_ms)}};
}

Json InputTokensJson(const GenerationRequest& request) {
  return {{"object", "response.input_tokens"}, {"input_tokens", request.prompts.front().size()}};
}

Json UsageSoFar(const ChoiceUpdate& update) { return update.usage ? UsageJson(*update.usage) : Json(); }

std::string TokenNames::operator()(TokenId id) const {
  return Of(id, tokenizer->TokenBytes(id, /*show_special=*/true));
}

std::string TokenNames::Of(TokenId id, std::string_view text) const {
  return as_ids ? absl::StrCat("token_id:", id) : NameOfBytes(text);
}

Json ChatLogprobJson(const TokenNames& names, const PlacedToken& token) {
  const model::TokenLogprob& chosen = token.logprobs.chosen;
  Json entry = LogprobJson(names.Of(chosen.token, token.text), chosen.logprob, token.text);
  Json& top = entry["top_logprobs"] = Json::array();
  for (const model::TokenLogprob& other : token.logprobs.top) {
    top.push_back(LogprobJson(names(other.token), other.logprob,
                              names.tokenizer->TokenBytes(other.token, /*show_special=*/true)));
  }
  return entry;
}

void ChatLogprobs::Add(const std::vector<PlacedToken>& tokens) {
  for (const PlacedToken& token : tokens) {
    switch (token.place) {
      case TokenPlace::kReasoning:
        if (with_reasoning_) reasoning_.push_back(ChatLogprobJson(names_, token));
        break;
      case TokenPlace::kContent:
        content_.push_back(ChatLogprobJson(names_, token));
        break;
      case TokenPlace::kToolCall:
        tool_calls_.push_back(ChatLogprobJson(names_, token));
        break;
      case TokenPlace::kNoText:
        break;
    }
  }
}

Json ChatLogprobs::Take() {
  Json json = {{"content", std::exchange(content_, Json::array())}};
  if (!reasoning_.empty()) json["reasoning_content"] = std::exchange(reasoning_, Json::array());
  if (!tool_calls_.empty()) json["tool_calls"] = std::exchange(tool_calls_, Json::array());
  return json;
}

void CompletionLogprobs::AddToken(std::string name, std::string_view text) {
  tokens_.push_back(std::move(name));
  text_offsets_.push_back(offset_);
  offset_ += CountCharacters(text);
}

void CompletionLogprobs::AddPosition(const model::PositionLogprobs& position) {
  token_logprobs_.push_back(FiniteLogprob(position.chosen.logprob));
  Json top = Json::object();
  for (const model::TokenLogprob& entry : position.top)
    top[names_(entry.token)] = FiniteLogprob(entry.logprob);
  top[names_(position.chosen.token)] = FiniteLogprob(position.chosen.logprob);
  top_logprobs_.push_back(std::move(top));
}

void CompletionLogprobs::AddPrompt(TokenId id, std::string_view text,
                                   const model::PositionLogprobs* position) {
  AddToken(names_(id), text);
  if (position != nullptr) return AddPosition(*position);
  token_logprobs_.push_back(nullptr);
  top_logprobs_.push_back(nullptr);
}

void CompletionLogprobs::Add(const std::vector<PlacedToken>& tokens) {
  for (const PlacedToken& token : tokens) {
    const TokenId id = token.logprobs.chosen.token;
    AddToken(token.place == TokenPlace::kNoText ? names_(id) : names_.Of(id, token.text), token.text);
    AddPosition(token.logprobs);
  }
}

Json CompletionLogprobs::Take() {
  if (tokens_.empty()) return nullptr;
  return {{"tokens", std::exchange(tokens_, Json::array())},
          {"token_logprobs", std::exchange(token_logprobs_, Json::array())},
          {"top_logprobs", std::exchange(top_logprobs_, Json::array())},
          {"text_offset", std::exchange(text_offsets_, Json::array())}};
}

void PromptLogprobs::Add(std::span<const model::PositionLogprobs> positions) {
  for (const model::PositionLogprobs& position : positions) {
    const size_t count = std::min(position.top.size(), static_cast<size_t>(number_));
    const std::span top(position.top.data(), count);
    const auto found = std::ranges::find(top, position.chosen.token, &model::TokenLogprob::token);
    const Json rank = found == top.end() ? Json() : Json(found - top.begin() + 1);
    Json entry = {{std::to_string(position.chosen.token), Entry(position.chosen, rank)}};
    for (size_t i = 0; i < count; ++i) entry.emplace(std::to_string(top[i].token), Entry(top[i], i + 1));
    entries_.push_back(std::move(entry));
  }
}

Json PromptLogprobs::Entry(const model::TokenLogprob& token, const Json& rank) const {
  return {{"logprob", FiniteLogprob(token.logprob)},
          {"rank", rank},
          {"decoded_token", tokenizer_->Decode({&token.token, 1}, /*show_special=*/true)}};
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string SseEvent(const Json& data) { return absl::StrCat("data: ", Dump(data), "\n\n"); }

std::string MakeId(const std::string& prefix, ApiContext& context) {
  return absl::StrFormat("%s%016x%08x", prefix, context.Random(), static_cast<uint32_t>(context.Random()));
}

HttpResponse ErrorResponse(const ApiError& error, ErrorShape shape, absl::string_view request_id) {
  HttpResponse response{.status = error.status, .body = error.ToJson(shape, request_id)};
  if (error.retry_after_seconds > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(error.retry_after_seconds));
  }
  return response;
}

HttpResponse JsonResponse(const Json& json, int status) { return {.status = status, .body = Dump(json)}; }

std::function<void()> Answering(std::shared_ptr<HttpExchange> exchange, HttpResponse response) {
  return [exchange = std::move(exchange), response = std::move(response)]() mutable {
    exchange->Respond(std::move(response));
  };
}

void RespondError(HttpExchange& exchange, const ApiError& error, ErrorShape shape) {
  exchange.Respond(ErrorResponse(error, shape, exchange.request_id()));
}

void SendUsage(HttpExchange& exchange, Json head, const Usage& usage) {
  head["choices"] = Json::array();
  head["usage"] = UsageJson(usage);
  exchange.Send(SseEvent(head));
}

void EndStream(HttpExchange& exchange) {
  exchange.Send("data: [DONE]\n\n");
  exchange.EndStream();
}

void EndStreamWithError(HttpExchange& exchange, const ApiError& error) {
  exchange.Send(absl::StrCat("data: ", error.ToJson(), "\n\n"));
  exchange.EndStream();
}

void RespondJson(HttpExchange& exchange, const Json& json, int status) {
  exchange.Respond(JsonResponse(json, status));
}

}  // namespace deeprack::coordinator
