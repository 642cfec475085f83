#include "coordinator/api/chat_answer.h"

#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/event_text.h"

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
    if (return_token_ids_)
      choice.token_ids.insert(choice.token_ids.end(), update.tokens.begin(), update.tokens.end());
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
      : ChatAnswer(context, request, std::move(exchange)),
        opening_("data: " + OpenObject(Head("chat.completion.chunk")) + R"(,"choices":[{"index":)"),
        choices_(request.choices()) {}

  void OnUpdate(const ChoiceUpdate& update) override {
    if (update.choice == 0) timings_ = update.timings;
    Choice& choice = choices_[update.choice];
    std::string events;
    events.reserve(opening_.size() + 192 + update.text.content.size() + update.text.reasoning.size());
    if (!choice.started) AppendFirst(update, events);
    const Json logprobs = LogprobsOf(update.text.tokens);
    const bool reasons = !update.text.reasoning.empty() && include_reasoning_;
    const bool has_ids = !update.tokens.empty() && return_token_ids_;
    if (reasons || !update.text.content.empty() || !update.text.tool_calls.empty() || !logprobs.is_null() ||
        has_ids) {
      OpenChunk(update, events);
      AppendDelta(update.text, reasons, events);
      EndChoice(logprobs, "", events);
      if (has_ids) {
        events += R"(,"token_ids":)";
        AppendJsonIds(update.tokens, events);
      }
      CloseChunk(update, events);
      events += kEventEnd;
    }
    if (!update.finish_reason.empty()) AppendLast(update, events);
    if (!events.empty()) exchange_->Send(std::move(events));
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
  static constexpr std::string_view kEventEnd = "}\n\n";

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

  // A chunk is OpenChunk, the delta, EndChoice, further fields of the choice, CloseChunk, further fields of
  // the chunk, kEventEnd.
  void OpenChunk(const ChoiceUpdate& update, std::string& out) const {
    out += opening_;
    AppendJsonNumber(update.choice, out);
    out += R"(,"delta":)";
  }

  static void EndChoice(const Json& logprobs, std::string_view finish_reason, std::string& out) {
    out += R"(,"logprobs":)";
    out += logprobs.is_null() ? "null" : Dump(logprobs);
    out += R"(,"finish_reason":)";
    if (finish_reason.empty()) {
      out += "null";
    } else {
      AppendJsonString(finish_reason, out);
    }
  }

  void CloseChunk(const ChoiceUpdate& update, std::string& out) const {
    out += "}]";
    if (include_usage_) {
      out += R"(,"usage":)";
      AppendUsageSoFar(update, out);
    }
    if (timings_per_token_ && choices_[update.choice].started) {
      out += R"(,"timings":)";
      out += Dump(TimingsJson(update.timings));
    }
  }

  // The choice's first chunks: the role, and the text that the answer goes on from.
  void AppendFirst(const ChoiceUpdate& update, std::string& out) {
    OpenChunk(update, out);
    out += R"({"role":"assistant","content":""})";
    EndChoice(nullptr, "", out);
    CloseChunk(update, out);
    if (return_token_ids_) {
      out += R"(,"prompt_token_ids":)";
      AppendJsonIds(prompt_ids_, out);
    }
    out += kEventEnd;
    choices_[update.choice].started = true;
    if (echo_.empty()) return;
    OpenChunk(update, out);
    out += R"({"content":)";
    AppendJsonString(echo_, out);
    out += '}';
    EndChoice(nullptr, "", out);
    CloseChunk(update, out);
    out += kEventEnd;
  }

  void AppendDelta(const TextDelta& text, bool reasons, std::string& out) const {
    char before = '{';
    const auto field = [&](std::string_view name, std::string_view value) {
      out += std::exchange(before, ',');
      AppendJsonString(name, out);
      out += ':';
      AppendJsonString(value, out);
    };
    if (reasons && reasoning_field_ != ReasoningField::kReasoning) field("reasoning_content", text.reasoning);
    if (reasons && reasoning_field_ != ReasoningField::kReasoningContent) field("reasoning", text.reasoning);
    if (!text.content.empty()) field("content", text.content);
    if (!text.tool_calls.empty()) {
      out += std::exchange(before, ',');
      out += R"("tool_calls":)";
      Json calls = Json::array();
      for (const ToolCallDelta& call : text.tool_calls) {
        Json json = {{"index", call.call}};
        json.update(ToolCallJson(call));
        calls.push_back(std::move(json));
      }
      out += Dump(calls);
    }
    out += before == '{' ? "{}" : "}";
  }

  void AppendLast(const ChoiceUpdate& update, std::string& out) const {
    OpenChunk(update, out);
    out += "{}";
    EndChoice(nullptr, update.finish_reason, out);
    out += R"(,"stop_reason":)";
    out += Dump(StopReasonJson(update));
    CloseChunk(update, out);
    out += kEventEnd;
  }

  const std::string opening_;  // of a chunk, up to the choice's index
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
