#include "coordinator/api/chat_answer.h"

#include <utility>

#include "coordinator/api/answer_json.h"

namespace deeprack::coordinator {
namespace {

// The parts that both answers have: the object's head and the request's options.
class ChatAnswer : public GenerationListener {
 public:
  ChatAnswer(ApiContext* context, const GenerationRequest& request, std::shared_ptr<HttpExchange> exchange)
      : context_(context),
        exchange_(std::move(exchange)),
        id_(MakeId("chatcmpl-", *context)),
        created_(absl::ToUnixSeconds(context->clock().Now())),
        model_(context->model().NameFor(request)),
        token_names_{context->model().tokenizer.get(), request.tokens_as_ids},
        reasoning_field_(context->model().reasoning_field),
        return_token_ids_(request.return_token_ids),
        timings_per_token_(request.timings_per_token),
        logprobs_(request.request.sampling.top_logprobs >= 0),
        include_usage_(request.include_usage),
        include_reasoning_(request.include_reasoning),
        echo_(request.echo) {
    if (return_token_ids_) prompt_ids_ = request.prompts.front();
  }

 protected:
  Json Head(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", model_},
            {"system_fingerprint", context_->model().fingerprint}};
  }

  // The first delta of a call makes the call's id.
  Json ToolCallJson(const ToolCallDelta& call) const {
    if (call.name.empty()) return {{"function", {{"arguments", call.arguments}}}};
    return {{"id", MakeId("call_", *context_)},
            {"type", "function"},
            {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
  }

  // Adds the reasoning to a message or a delta.
  void AddReasoning(const std::string& reasoning, Json& json) const {
    if (reasoning.empty() || !include_reasoning_) return;
    if (reasoning_field_ != ReasoningField::kReasoning) json["reasoning_content"] = reasoning;
    if (reasoning_field_ != ReasoningField::kReasoningContent) json["reasoning"] = reasoning;
  }

  ApiContext* context_;
  std::shared_ptr<HttpExchange> exchange_;
  std::string id_;
  int64_t created_;
  std::string model_;
  TokenNames token_names_;
  ReasoningField reasoning_field_;
  bool return_token_ids_, timings_per_token_, logprobs_, include_usage_, include_reasoning_;
  std::string echo_;
  std::vector<TokenId> prompt_ids_;
  ChoiceTimings timings_;  // of the first choice
};

class WholeChatAnswer final : public ChatAnswer {
 public:
  WholeChatAnswer(ApiContext* context, const GenerationRequest& request,
                  std::shared_ptr<HttpExchange> exchange)
      : ChatAnswer(context, request, std::move(exchange)),
        choices_(request.choices(), Choice(ChatLogprobs(token_names_, include_reasoning_))) {
    if (request.prompt_logprobs >= 0)
      prompt_logprobs_.emplace(context->model().tokenizer.get(), request.prompt_logprobs);
    for (Choice& choice : choices_) choice.content = echo_;
  }

  void OnUpdate(const ChoiceUpdate& update) override {
    Choice& choice = choices_[update.choice];
    choice.reasoning += update.text.reasoning;
    choice.content += update.text.content;
    for (const ToolCallDelta& call : update.text.tool_calls) {
      if (!call.name.empty()) {
        choice.tool_calls.push_back(ToolCallJson(call));
      } else {
        choice.tool_calls.back()["function"]["arguments"].get_ref<std::string&>() += call.arguments;
      }
    }
    if (update.token && return_token_ids_) choice.token_ids.push_back(*update.token);
    if (prompt_logprobs_ && update.choice == 0) prompt_logprobs_->Add(update.prompt_logprobs);
    choice.logprobs.Add(update.text.tokens);
    choice.finish_reason = update.finish_reason;
    choice.stop_reason = StopReasonJson(update);
    if (update.choice == 0) timings_ = update.timings;
  }

  void OnFinished(const Usage& usage) override {
    Json body = Head("chat.completion");
    if (return_token_ids_) body["prompt_token_ids"] = prompt_ids_;
    if (prompt_logprobs_) body["prompt_logprobs"] = prompt_logprobs_->Take();
    Json& choices = body["choices"] = Json::array();
    for (size_t i = 0; i < choices_.size(); ++i) choices.push_back(ChoiceJson(i, choices_[i]));
    body["usage"] = UsageJson(usage);
    if (timings_per_token_) body["timings"] = TimingsJson(timings_);
    RespondJson(*exchange_, body);
  }

  void OnFailed(const ApiError& error) override { RespondError(*exchange_, error); }

 private:
  struct Choice {
    explicit Choice(const ChatLogprobs& empty) : logprobs(empty) {}

    std::string reasoning, content, finish_reason;
    Json tool_calls = Json::array();
    Json stop_reason;
    ChatLogprobs logprobs;
    std::vector<TokenId> token_ids;
  };

  Json ChoiceJson(size_t index, Choice& choice) const {
    Json message = {{"role", "assistant"}, {"content", choice.content}};
    AddReasoning(choice.reasoning, message);
    if (!choice.tool_calls.empty()) {
      if (choice.content.empty()) message["content"] = nullptr;
      message["tool_calls"] = std::move(choice.tool_calls);
    }
    Json json = {{"index", index}, {"message", std::move(message)}, {"logprobs", nullptr}};
    if (logprobs_) json["logprobs"] = choice.logprobs.Take();
    json["finish_reason"] = choice.finish_reason;
    json["stop_reason"] = std::move(choice.stop_reason);
    if (return_token_ids_) json["token_ids"] = choice.token_ids;
    return json;
  }

  std::vector<Choice> choices_;
  std::optional<PromptLogprobs> prompt_logprobs_;
};

class StreamedChatAnswer final : public ChatAnswer {
 public:
  StreamedChatAnswer(ApiContext* context, const GenerationRequest& request,
                     std::shared_ptr<HttpExchange> exchange)
      : ChatAnswer(context, request, std::move(exchange)), choices_(request.choices()) {}

  void OnUpdate(const ChoiceUpdate& update) override {
    if (update.choice == 0) timings_ = update.timings;
    Choice& choice = choices_[update.choice];
    if (!choice.started) {
      Json first = Chunk(update, {{"role", "assistant"}, {"content", ""}}, nullptr);
      if (return_token_ids_) first["prompt_token_ids"] = prompt_ids_;
      exchange_->Send(SseEvent(first));
      choice.started = true;
      if (!echo_.empty()) exchange_->Send(SseEvent(Chunk(update, {{"content", echo_}}, nullptr)));
    }
    Json delta = Json::object();
    AddReasoning(update.text.reasoning, delta);
    if (!update.text.content.empty()) delta["content"] = update.text.content;
    for (const ToolCallDelta& call : update.text.tool_calls) {
      Json json = {{"index", call.call}};
      json.update(ToolCallJson(call));
      delta["tool_calls"].push_back(std::move(json));
    }
    Json logprobs = LogprobsOf(update.text.tokens);
    if (!delta.empty() || !logprobs.is_null() || (update.token && return_token_ids_)) {
      Json chunk = Chunk(update, std::move(delta), nullptr);
      Json& in_choice = chunk["choices"][0];
      in_choice["logprobs"] = std::move(logprobs);
      if (return_token_ids_ && update.token) in_choice["token_ids"] = {*update.token};
      exchange_->Send(SseEvent(chunk));
    }
    if (!update.finish_reason.empty()) {
      Json last = Chunk(update, Json::object(), update.finish_reason);
      last["choices"][0]["stop_reason"] = StopReasonJson(update);
      exchange_->Send(SseEvent(last));
    }
  }

  void OnFinished(const Usage& usage) override {
    if (include_usage_) {
      Json head = Head("chat.completion.chunk");
      if (timings_per_token_) head["timings"] = TimingsJson(timings_);
      SendUsage(*exchange_, std::move(head), usage);
    }
    EndStream(*exchange_);
  }

  void OnFailed(const ApiError& error) override { EndStreamWithError(*exchange_, error); }

 private:
  struct Choice {
    bool started = false;
  };

  // Null if no list of the object would have an entry, as for every token without log-probabilities.
  Json LogprobsOf(const std::vector<PlacedToken>& tokens) const {
    if (tokens.empty()) return nullptr;
    ChatLogprobs logprobs(token_names_, include_reasoning_);
    logprobs.Add(tokens);
    return logprobs.empty() ? Json() : logprobs.Take();
  }

  Json Chunk(const ChoiceUpdate& update, Json delta, const Json& finish_reason) const {
    Json chunk = Head("chat.completion.chunk");
    chunk["choices"] = Json::array({{{"index", update.choice},
                                     {"delta", std::move(delta)},
                                     {"logprobs", nullptr},
                                     {"finish_reason", finish_reason}}});
    if (include_usage_) chunk["usage"] = UsageSoFar(update);
    if (timings_per_token_ && choices_[update.choice].started) chunk["timings"] = TimingsJson(update.timings);
    return chunk;
  }

  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<GenerationListener> MakeWholeChatAnswer(ApiContext* context, const GenerationRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<WholeChatAnswer>(context, request, std::move(exchange));
}

std::unique_ptr<GenerationListener> MakeStreamedChatAnswer(ApiContext* context,
                                                           const GenerationRequest& request,
                                                           std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<StreamedChatAnswer>(context, request, std::move(exchange));
}

}  // namespace deeprack::coordinator
