#include "coordinator/api/anthropic/messages_answer.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/anthropic/answer_blocks.h"
#include "coordinator/api/event_text.h"

namespace deeprack::coordinator::anthropic {
namespace {

// Anthropic counts the prompt's tokens in three numbers without overlap.
Json MessageUsage(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"thinking_tokens", usage.reasoning_tokens}}}};
}

// What both answers know: the message's head, and why the answer ended.
class MessageAnswer : public GenerationListener {
 public:
  MessageAnswer(ApiContext* context, const MessagesRequest& request, std::shared_ptr<HttpExchange> exchange)
      : context_(context),
        exchange_(std::move(exchange)),
        id_(MakeId("msg_", *context)),
        prompt_tokens_(static_cast<int64_t>(request.generation.prompts.front().size())),
        cut_to_room_(request.cut_to_room) {}

 protected:
  Json Message(Json content, const Json& usage) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", context_->model().name},
            {"content", std::move(content)},
            {"stop_reason", stop_reason_},
            {"stop_sequence", stop_sequence_},
            {"usage", usage}};
  }

  // A block without its text.
  Json EmptyBlock(const BlockEvent& start) const {
    switch (start.kind) {
      case BlockKind::kThinking:
        return {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
      case BlockKind::kToolUse:
        return {{"type", "tool_use"},
                {"id", MakeId("toolu_", *context_)},
                {"name", start.text},
                {"input", Json::object()}};
      case BlockKind::kText:
        break;
    }
    return {{"type", "text"}, {"text", ""}};
  }

  void TakeEnd(const ChoiceUpdate& update) {
    if (update.finish_reason.empty()) return;
    if (update.finish_reason == "length") {
      stop_reason_ = cut_to_room_ ? "model_context_window_exceeded" : "max_tokens";
    } else if (update.finish_reason == "tool_calls") {
      stop_reason_ = "tool_use";
    } else if (!update.stop_string.empty()) {
      stop_reason_ = "stop_sequence";
      stop_sequence_ = update.stop_string;
    } else {
      stop_reason_ = "end_turn";
    }
  }

  ApiContext* context_;
  std::shared_ptr<HttpExchange> exchange_;
  std::string id_;
  int64_t prompt_tokens_;
  bool cut_to_room_;
  Json stop_reason_, stop_sequence_;  // null until the answer has ended
  AnswerBlocks blocks_;
};

class WholeMessage final : public MessageAnswer {
 public:
  using MessageAnswer::MessageAnswer;

  void OnUpdate(const ChoiceUpdate& update) override {
    for (const BlockEvent& event : blocks_.Add(update.text)) {
      if (event.type == BlockEvent::Type::kStart) content_.push_back({event.kind, EmptyBlock(event), ""});
      if (event.type == BlockEvent::Type::kDelta) content_.back().text += event.text;
    }
    TakeEnd(update);
  }

  void OnFinished(const Usage& usage) override {
    Json content = Json::array();
    for (Block& block : content_) {
      if (block.kind == BlockKind::kThinking) block.json["thinking"] = std::move(block.text);
      if (block.kind == BlockKind::kText) block.json["text"] = std::move(block.text);
      if (block.kind == BlockKind::kToolUse) block.json["input"] = ToolInput(block.text);
      content.push_back(std::move(block.json));
    }
    RespondJson(*exchange_, Message(std::move(content), MessageUsage(usage)));
  }

  void OnFailed(const ApiError& error) override { RespondError(*exchange_, error, ErrorShape::kAnthropic); }

 private:
  struct Block {
    BlockKind kind;
    Json json;
    std::string text;
  };

  std::vector<Block> content_;
};

class StreamedMessage final : public MessageAnswer {
 public:
  using MessageAnswer::MessageAnswer;

  void OnUpdate(const ChoiceUpdate& update) override {
    std::string out;
    if (!started_) Start(update.timings.cached_tokens, out);
    for (const BlockEvent& event : blocks_.Add(update.text)) WriteBlock(event, out);
    TakeEnd(update);
    if (!out.empty()) exchange_->Send(std::move(out));
  }

  void OnFinished(const Usage& usage) override {
    std::string out;
    for (const BlockEvent& event : blocks_.Finish()) WriteBlock(event, out);
    Write({{"type", "message_delta"},
           {"delta", {{"stop_reason", stop_reason_}, {"stop_sequence", stop_sequence_}}},
           {"usage", MessageUsage(usage)}},
          out);
    Write({{"type", "message_stop"}}, out);
    exchange_->Send(std::move(out));
    exchange_->EndStream();
  }

  void OnFailed(const ApiError& error) override {
    const std::string json = error.ToJson(ErrorShape::kAnthropic, exchange_->request_id());
    exchange_->Send(absl::StrCat("event: error\ndata: ", json, "\n\n"));
    exchange_->EndStream();
  }

 private:
  // An event's name is its type.
  static void Write(const Json& event, std::string& out) {
    absl::StrAppend(&out, "event: ", event["type"].get_ref<const std::string&>(), "\ndata: ", Dump(event),
                    "\n\n");
  }

  void Start(int64_t cached_tokens, std::string& out) {
    started_ = true;
    const Usage usage{.prompt_tokens = prompt_tokens_, .cached_tokens = cached_tokens};
    Write({{"type", "message_start"}, {"message", Message(Json::array(), MessageUsage(usage))}}, out);
  }

  // A delta has one text, whose field depends on the block.
  static void WriteDelta(const BlockEvent& event, std::string& out) {
    out += "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
    AppendJsonNumber(event.index, out);
    switch (event.kind) {
      case BlockKind::kThinking:
        out += R"(,"delta":{"type":"thinking_delta","thinking":)";
        break;
      case BlockKind::kToolUse:
        out += R"(,"delta":{"type":"input_json_delta","partial_json":)";
        break;
      case BlockKind::kText:
        out += R"(,"delta":{"type":"text_delta","text":)";
        break;
    }
    AppendJsonString(event.text, out);
    out += "}}\n\n";
  }

  void WriteBlock(const BlockEvent& event, std::string& out) {
    switch (event.type) {
      case BlockEvent::Type::kStart:
        Write({{"type", "content_block_start"}, {"index", event.index}, {"content_block", EmptyBlock(event)}},
              out);
        if (event.index == 0) Write({{"type", "ping"}}, out);  // as Anthropic does
        break;
      case BlockEvent::Type::kDelta:
        WriteDelta(event, out);
        break;
      case BlockEvent::Type::kStop:
        // Clients take a thought's signature from this delta. Thoughts of this server are not signed.
        if (event.kind == BlockKind::kThinking) {
          Write({{"type", "content_block_delta"},
                 {"index", event.index},
                 {"delta", {{"type", "signature_delta"}, {"signature", ""}}}},
                out);
        }
        Write({{"type", "content_block_stop"}, {"index", event.index}}, out);
        break;
    }
  }

  bool started_ = false;
};

}  // namespace

std::unique_ptr<GenerationListener> MakeWholeMessage(ApiContext* context, const MessagesRequest& request,
                                                     std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<WholeMessage>(context, request, std::move(exchange));
}

std::unique_ptr<GenerationListener> MakeStreamedMessage(ApiContext* context, const MessagesRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<StreamedMessage>(context, request, std::move(exchange));
}

Json ToolInput(const std::string& arguments) {
  if (arguments.empty()) return Json::object();
  std::variant<Json, ApiError> parsed = ParseBody(arguments);
  if (Json* object = std::get_if<Json>(&parsed)) return std::move(*object);
  return {{"INVALID_JSON", arguments}};
}

}  // namespace deeprack::coordinator::anthropic
