#include "coordinator/api/llama_cpp/native_answer.h"

#include <algorithm>
#include <utility>

#include "coordinator/api/answer_json.h"

namespace deeprack::coordinator::llama_cpp {
namespace {

// The request's parameters after defaults and limits, by llama.cpp's names.
Json SettingsJson(const NativeRequest& native) {
  const GenerationRequest& request = native.completion.generation;
  const model::SamplingParams& sampling = request.request.sampling;
  Json bias = Json::array();
  for (const auto& [token, value] : sampling.logit_bias) {
    bias.push_back({{"token", token}, {"bias", DecimalJson(value)}});
  }
  return {{"seed", request.seed.value_or(-1)},
          {"temperature", DecimalJson(sampling.temperature)},
          {"top_k", sampling.top_k},
          {"top_p", DecimalJson(sampling.top_p)},
          {"min_p", DecimalJson(sampling.min_p)},
          {"repeat_last_n", -1},
          {"repeat_penalty", DecimalJson(sampling.repetition_penalty)},
          {"presence_penalty", DecimalJson(sampling.presence_penalty)},
          {"frequency_penalty", DecimalJson(sampling.frequency_penalty)},
          {"logit_bias", std::move(bias)},
          {"stop", request.text.stop},
          {"n_predict", native.n_predict},
          {"max_tokens", request.request.max_tokens},
          {"ignore_eos", request.request.ignore_eos},
          {"stream", request.stream},
          {"n_probs", std::max(sampling.top_logprobs, 0)},
          {"timings_per_token", request.timings_per_token}};
}

Json TokenJson(const Tokenizer& tokenizer, const model::TokenLogprob& token) {
  const std::string_view bytes = tokenizer.TokenBytes(token.token, /*show_special=*/true);
  return {{"id", token.token},
          {"token", tokenizer.Decode({&token.token, 1}, /*show_special=*/true)},
          {"bytes", BytesJson(bytes)},
          {"logprob", FiniteLogprob(token.logprob)}};
}

// An entry of completion_probabilities.
Json ProbabilityJson(const Tokenizer& tokenizer, const model::PositionLogprobs& position) {
  Json json = TokenJson(tokenizer, position.chosen);
  Json& top = json["top_logprobs"] = Json::array();
  for (const model::TokenLogprob& token : position.top) top.push_back(TokenJson(tokenizer, token));
  return json;
}

// The next piece of one choice.
struct Piece {
  std::string content;
  std::vector<TokenId> tokens;
  Json probabilities = Json::array();
};

class NativeAnswer : public GenerationListener {
 public:
  NativeAnswer(ApiContext* context, const NativeRequest& request, std::shared_ptr<HttpExchange> exchange)
      : exchange_(std::move(exchange)),
        tokenizer_(*context->model().tokenizer),
        model_(context->model().NameFor(request.completion.generation)),
        settings_(SettingsJson(request)),
        cut_to_room_(request.cut_to_room),
        probabilities_(request.completion.generation.request.sampling.top_logprobs >= 0),
        timings_per_token_(request.completion.generation.timings_per_token),
        n_(request.completion.generation.n),
        prompts_(request.completion.generation.prompts),
        pieces_(request.completion.generation.choices()) {}

 protected:
  // Adds the update to the choice's piece.
  Piece& Follow(const ChoiceUpdate& update) {
    Piece& piece = pieces_[update.choice];
    piece.content += update.text.content;
    piece.tokens.insert(piece.tokens.end(), update.tokens.begin(), update.tokens.end());
    for (const PlacedToken& token : update.text.tokens) {
      piece.probabilities.push_back(ProbabilityJson(tokenizer_, token.logprobs));
    }
    return piece;
  }

  // What events and the last object have in common.
  Json Head(const ChoiceUpdate& update, std::string content, std::vector<TokenId> tokens, bool stop) const {
    return {{"index", update.choice},
            {"content", std::move(content)},
            {"tokens", std::move(tokens)},
            {"id_slot", -1},
            {"stop", stop},
            {"model", model_},
            {"tokens_predicted", update.timings.generated_tokens},
            {"tokens_evaluated", update.timings.prompt_tokens}};
  }

  void AddProbabilities(Json probabilities, Json& json) const {
    if (probabilities_) json["completion_probabilities"] = std::move(probabilities);
  }

  // Adds how the choice ended. `update` is the choice's last one.
  void AddEnd(const ChoiceUpdate& update, bool has_new_line, Json& json) const {
    const bool limit = update.finish_reason == "length";
    json["generation_settings"] = settings_;
    json["prompt"] = tokenizer_.Decode(prompts_[update.choice / n_], /*show_special=*/true);
    json["has_new_line"] = has_new_line;
    json["truncated"] = limit && cut_to_room_;
    json["stop_type"] = limit ? "limit" : update.stop_string.empty() ? "eos" : "word";
    json["stopping_word"] = update.stop_string;
    json["tokens_cached"] = update.timings.prompt_tokens + update.timings.generated_tokens;
    json["timings"] = TimingsJson(update.timings);
  }

  std::shared_ptr<HttpExchange> exchange_;
  const Tokenizer& tokenizer_;
  std::string model_;
  Json settings_;
  bool cut_to_room_, probabilities_, timings_per_token_;
  int32_t n_;
  std::vector<std::vector<TokenId>> prompts_;
  std::vector<Piece> pieces_;  // of each choice: what the answer does not have yet
};

class WholeAnswer final : public NativeAnswer {
 public:
  WholeAnswer(ApiContext* context, const NativeRequest& request, std::shared_ptr<HttpExchange> exchange)
      : NativeAnswer(context, request, std::move(exchange)),
        return_tokens_(request.return_tokens),
        answers_(pieces_.size()) {}

  void OnUpdate(const ChoiceUpdate& update) override {
    Piece& piece = Follow(update);
    if (update.finish_reason.empty()) return;
    const bool has_new_line = piece.content.find('\n') != std::string::npos;
    Json& answer = answers_[update.choice];
    answer = Head(update, std::move(piece.content),
                  return_tokens_ ? std::move(piece.tokens) : std::vector<TokenId>(), /*stop=*/true);
    AddEnd(update, has_new_line, answer);
    AddProbabilities(std::move(piece.probabilities), answer);
  }

  void OnFinished(const Usage&) override {
    RespondJson(*exchange_, answers_.size() == 1 ? answers_.front() : Json(answers_));
  }

  void OnFailed(const ApiError& error) override { RespondError(*exchange_, error); }

 private:
  bool return_tokens_;
  std::vector<Json> answers_;
};

class StreamedAnswer final : public NativeAnswer {
 public:
  StreamedAnswer(ApiContext* context, const NativeRequest& request, std::shared_ptr<HttpExchange> exchange)
      : NativeAnswer(context, request, std::move(exchange)), has_new_line_(pieces_.size()) {}

  void OnUpdate(const ChoiceUpdate& update) override {
    Piece& piece = Follow(update);
    const bool ends = !update.finish_reason.empty();
    // Tokens wait for the text that they are part of.
    if (!piece.content.empty()) {
      if (piece.content.find('\n') != std::string::npos) has_new_line_[update.choice] = true;
      Piece sent = std::exchange(piece, Piece());
      Json event = Head(update, std::move(sent.content), std::move(sent.tokens), /*stop=*/false);
      AddProbabilities(std::move(sent.probabilities), event);
      if (timings_per_token_) event["timings"] = TimingsJson(update.timings);
      exchange_->Send(SseEvent(event));
    }
    if (!ends) return;
    Json last = Head(update, "", std::move(piece.tokens), /*stop=*/true);
    AddEnd(update, has_new_line_[update.choice], last);
    exchange_->Send(SseEvent(last));
  }

  void OnFinished(const Usage&) override { exchange_->EndStream(); }

  void OnFailed(const ApiError& error) override { EndStreamWithError(*exchange_, error); }

 private:
  std::vector<bool> has_new_line_;
};

}  // namespace

std::unique_ptr<GenerationListener> MakeWholeAnswer(ApiContext* context, const NativeRequest& request,
                                                    std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<WholeAnswer>(context, request, std::move(exchange));
}

std::unique_ptr<GenerationListener> MakeStreamedAnswer(ApiContext* context, const NativeRequest& request,
                                                       std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<StreamedAnswer>(context, request, std::move(exchange));
}

}  // namespace deeprack::coordinator::llama_cpp
