#include "coordinator/api/completion_answer.h"

#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/event_text.h"

namespace deeprack::coordinator {
namespace {

// The next piece of one choice. Both answers are made of pieces.
struct Piece {
  std::string text;
  std::vector<TokenId> token_ids;
  std::string finish_reason;
  Json stop_reason;
};

// Turns updates into pieces: puts the echoed prompt in front of each choice, and collects log-probabilities.
class CompletionAnswer : public GenerationListener {
 public:
  CompletionAnswer(ApiContext* context, const CompletionRequest& request,
                   std::shared_ptr<HttpExchange> exchange)
      : context_(context),
        exchange_(std::move(exchange)),
        id_(MakeId("cmpl-", *context)),
        created_(absl::ToUnixSeconds(context->clock().Now())),
        model_(context->model().NameFor(request.generation)),
        n_(request.generation.n),
        echo_(request.echo),
        return_token_ids_(request.generation.return_token_ids),
        timings_per_token_(request.generation.timings_per_token),
        include_usage_(request.generation.include_usage),
        top_logprobs_(request.generation.request.sampling.top_logprobs),
        show_special_(request.generation.text.show_special),
        prompt_texts_(request.prompt_texts),
        given_as_text_(request.given_as_text),
        prompts_(request.generation.prompts) {
    const TokenNames names{context->model().tokenizer.get(), request.generation.tokens_as_ids};
    Choice empty{CompletionLogprobs(names)};
    if (request.generation.prompt_logprobs >= 0)
      empty.prompt.emplace(names.tokenizer, request.generation.prompt_logprobs);
    choices_.assign(request.generation.choices(), empty);
  }

 protected:
  // The piece that `update` adds to its choice. Log-probabilities wait in choices_ for TakeFurther.
  Piece Follow(const ChoiceUpdate& update) {
    Piece piece{.finish_reason = update.finish_reason, .stop_reason = StopReasonJson(update)};
    if (update.choice == 0) timings_ = update.timings;
    Choice& choice = choices_[update.choice];
    if (!std::exchange(choice.started, true) && echo_) {
      piece.text = prompt_texts_[update.choice / n_];
      if (top_logprobs_ >= 0) AddPromptToken(update.choice, nullptr);
    }
    if (choice.prompt) choice.prompt->Add(update.prompt_logprobs);
    if (echo_ && top_logprobs_ >= 0) {
      for (const model::PositionLogprobs& position : update.prompt_logprobs) {
        AddPromptToken(update.choice, &position);
      }
    }
    piece.text += update.text.content;
    choice.logprobs.Add(update.text.tokens);
    if (return_token_ids_) piece.token_ids.assign(update.tokens.begin(), update.tokens.end());
    return piece;
  }

  Json Head() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", model_},
            {"system_fingerprint", context_->model().fingerprint}};
  }

  // The log-probabilities that wait.
  struct Further {
    Json logprobs;
    std::optional<Json> prompt_logprobs;  // if the request asks for them
  };
  Further TakeFurther(int32_t index) {
    Further further{.logprobs = choices_[index].logprobs.Take(), .prompt_logprobs = {}};
    if (choices_[index].prompt) further.prompt_logprobs = choices_[index].prompt->Take();
    return further;
  }

  Json ChoiceJson(int32_t index, const Piece& piece, bool with_prompt_ids) {
    Further further = TakeFurther(index);
    Json json = {{"index", index},
                 {"text", piece.text},
                 {"logprobs", std::move(further.logprobs)},
                 {"finish_reason", nullptr}};
    if (!piece.finish_reason.empty()) {
      json["finish_reason"] = piece.finish_reason;
      json["stop_reason"] = piece.stop_reason;
    }
    if (further.prompt_logprobs) json["prompt_logprobs"] = *std::move(further.prompt_logprobs);
    if (return_token_ids_) {
      if (with_prompt_ids) json["prompt_token_ids"] = prompts_[index / n_];
      json["token_ids"] = piece.token_ids;
    }
    return json;
  }

  bool started(int32_t choice) const { return choices_[choice].started; }

  ApiContext* context_;
  std::shared_ptr<HttpExchange> exchange_;
  std::string id_;
  int64_t created_;
  std::string model_;
  int32_t n_;
  bool echo_, return_token_ids_, timings_per_token_, include_usage_;
  ChoiceTimings timings_;  // of the first choice
  int32_t top_logprobs_;   // -1: no log-probabilities
  bool show_special_;
  std::vector<std::string> prompt_texts_;
  std::vector<bool> given_as_text_;
  std::vector<std::vector<TokenId>> prompts_;

 private:
  struct Choice {
    CompletionLogprobs logprobs;
    std::optional<PromptLogprobs> prompt;  // if the request asks for prompt_logprobs
    bool started = false;
    size_t prompt_tokens = 0;  // prompt tokens whose log-probabilities were added
  };

  // Adds the next token of the choice's prompt, with the text that the echo shows. The echo of a text
  // has its special tokens, but not the begin token that the server put in front.
  void AddPromptToken(int32_t index, const model::PositionLogprobs* position) {
    Choice& choice = choices_[index];
    const size_t prompt = index / n_;
    const size_t at = choice.prompt_tokens++;
    if (at >= prompts_[prompt].size()) return;
    const TokenId id = prompts_[prompt][at];
    const bool is_text = given_as_text_[prompt];
    std::string_view text = context_->model().tokenizer->TokenBytes(id, is_text || show_special_);
    const bool put_in_front = is_text && at == 0 && id == context_->model().bos_token_id &&
                              !prompt_texts_[prompt].starts_with(text);
    const std::string_view shown = put_in_front ? std::string_view() : text;
    if (position == nullptr || std::ssize(position->top) <= top_logprobs_) {
      return choice.logprobs.AddPrompt(id, shown, position);
    }
    model::PositionLogprobs asked = *position;  // prompt_logprobs is larger than logprobs
    asked.top.resize(static_cast<size_t>(top_logprobs_));
    choice.logprobs.AddPrompt(id, shown, &asked);
  }

  std::vector<Choice> choices_;
};

class WholeCompletion final : public CompletionAnswer {
 public:
  WholeCompletion(ApiContext* context, const CompletionRequest& request,
                  std::shared_ptr<HttpExchange> exchange)
      : CompletionAnswer(context, request, std::move(exchange)), pieces_(request.generation.choices()) {}

  void OnUpdate(const ChoiceUpdate& update) override {
    Piece next = Follow(update);
    Piece& whole = pieces_[update.choice];
    whole.text += next.text;
    whole.token_ids.insert(whole.token_ids.end(), next.token_ids.begin(), next.token_ids.end());
    whole.finish_reason = std::move(next.finish_reason);
    whole.stop_reason = std::move(next.stop_reason);
  }

  void OnFinished(const Usage& usage) override {
    Json body = Head();
    Json& choices = body["choices"] = Json::array();
    for (size_t i = 0; i < pieces_.size(); ++i) {
      choices.push_back(ChoiceJson(static_cast<int32_t>(i), pieces_[i], /*with_prompt_ids=*/true));
    }
    body["usage"] = UsageJson(usage);
    if (timings_per_token_) body["timings"] = TimingsJson(timings_);
    RespondJson(*exchange_, body);
  }

  void OnFailed(const ApiError& error) override { RespondError(*exchange_, error); }

 private:
  std::vector<Piece> pieces_;
};

class StreamedCompletion final : public CompletionAnswer {
 public:
  StreamedCompletion(ApiContext* context, const CompletionRequest& request,
                     std::shared_ptr<HttpExchange> exchange)
      : CompletionAnswer(context, request, std::move(exchange)),
        opening_("data: " + OpenObject(Head()) + R"(,"choices":[)") {}

  void OnUpdate(const ChoiceUpdate& update) override {
    const bool first = !started(update.choice);
    const Piece piece = Follow(update);
    Further further = TakeFurther(update.choice);
    if (piece.text.empty() && piece.token_ids.empty() && further.logprobs.is_null() &&
        piece.finish_reason.empty()) {
      return;  // the update's text is held back
    }
    std::string event;
    event.reserve(opening_.size() + 160 + piece.text.size());
    event += opening_;
    AppendChoice(update.choice, piece, further, first, event);
    event += ']';
    if (include_usage_) {
      event += R"(,"usage":)";
      AppendUsageSoFar(update, event);
    }
    if (timings_per_token_) {
      event += R"(,"timings":)";
      event += Dump(TimingsJson(update.timings));
    }
    event += "}\n\n";
    exchange_->Send(std::move(event));
  }

  void OnFinished(const Usage& usage) override {
    if (include_usage_) {
      Json head = Head();
      if (timings_per_token_) head["timings"] = TimingsJson(timings_);
      SendUsage(*exchange_, std::move(head), usage);
    }
    EndStream(*exchange_);
  }

  void OnFailed(const ApiError& error) override { EndStreamWithError(*exchange_, error); }

 private:
  // Appends ChoiceJson.
  void AppendChoice(int32_t index, const Piece& piece, const Further& further, bool with_prompt_ids,
                    std::string& out) const {
    out += R"({"index":)";
    AppendJsonNumber(index, out);
    out += R"(,"text":)";
    AppendJsonString(piece.text, out);
    out += R"(,"logprobs":)";
    out += further.logprobs.is_null() ? "null" : Dump(further.logprobs);
    out += R"(,"finish_reason":)";
    if (piece.finish_reason.empty()) {
      out += "null";
    } else {
      AppendJsonString(piece.finish_reason, out);
      out += R"(,"stop_reason":)";
      out += Dump(piece.stop_reason);
    }
    if (further.prompt_logprobs) {
      out += R"(,"prompt_logprobs":)";
      out += Dump(*further.prompt_logprobs);
    }
    if (return_token_ids_) {
      if (with_prompt_ids) {
        out += R"(,"prompt_token_ids":)";
        AppendJsonIds(prompts_[index / n_], out);
      }
      out += R"(,"token_ids":)";
      AppendJsonIds(piece.token_ids, out);
    }
    out += '}';
  }

  const std::string opening_;  // of a chunk, up to the choice
};

}  // namespace

std::unique_ptr<GenerationListener> MakeWholeCompletion(ApiContext* context, const CompletionRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<WholeCompletion>(context, request, std::move(exchange));
}

std::unique_ptr<GenerationListener> MakeStreamedCompletion(ApiContext* context,
                                                           const CompletionRequest& request,
                                                           std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<StreamedCompletion>(context, request, std::move(exchange));
}

}  // namespace deeprack::coordinator
