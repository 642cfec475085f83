#include "coordinator/api/responses/conversation_chat.h"

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/json_fields.h"

namespace deeprack::coordinator {
namespace {

// The texts of parts, joined. A refusal is a text, too.
std::string TextOf(const Json& parts) {
  if (parts.is_string()) return parts.get<std::string>();
  std::string text;
  for (const Json& part : parts) {
    const char* field = part.at("type") == "refusal" ? "refusal" : "text";
    text += part.at(field).get_ref<const std::string&>();
  }
  return text;
}

class ChatWriter {
 public:
  std::optional<ApiError> Write(const Json& item) {
    const std::string& type = item.at("type").get_ref<const std::string&>();
    if (type == "message") {
      WriteMessage(item);
    } else if (type == "reasoning") {
      WriteReasoning(item);
    } else if (type == "function_call") {
      WriteCall(item);
    } else {
      return WriteOutput(item);
    }
    return std::nullopt;
  }

  std::vector<ChatMessage> Take() && {
    CloseAnswer();
    return std::move(messages_);
  }

 private:
  void WriteMessage(const Json& item) {
    std::string text = TextOf(item.at("content"));
    const Json& role = item.at("role");
    if (role == "assistant") {
      if (!answer_ || answer_->content || !answer_->tool_calls.empty()) OpenAnswer();
      answer_->content = std::move(text);
      return;
    }
    CloseAnswer();
    messages_.push_back(
        {.role = role == "user" ? ChatRole::kUser : ChatRole::kSystem, .content = std::move(text)});
  }

  // A client of OpenAI's API has the summary of a thought, and not the thought.
  void WriteReasoning(const Json& item) {
    const std::string thought = TextOf(item.at("content"));
    OpenAnswer();
    answer_->reasoning = thought.empty() ? TextOf(item.at("summary")) : thought;
  }

  void WriteCall(const Json& item) {
    if (!answer_) OpenAnswer();
    ToolCall call{.id = item.at("call_id").get<std::string>(),
                  .name = item.at("name").get<std::string>(),
                  .arguments = item.at("arguments").get<std::string>()};
    names_[call.id] = call.name;
    answer_->tool_calls.push_back(std::move(call));
  }

  std::optional<ApiError> WriteOutput(const Json& item) {
    CloseAnswer();
    const std::string& call_id = item.at("call_id").get_ref<const std::string&>();
    const auto called = names_.find(call_id);
    if (called == names_.end()) {
      return BadRequest("unknown_call", "input",
                        absl::StrCat("No tool call found for function call output with call_id ", call_id,
                                     ": the input needs the function_call item before its output"));
    }
    messages_.push_back({.role = ChatRole::kTool,
                         .content = TextOf(item.at("output")),
                         .name = called->second,
                         .tool_call_id = call_id});
    return std::nullopt;
  }

  void OpenAnswer() {
    CloseAnswer();
    answer_.emplace();
    answer_->role = ChatRole::kAssistant;
  }

  // An answer that was cut in its thought has an empty text.
  void CloseAnswer() {
    if (!answer_) return;
    if (!answer_->content && answer_->tool_calls.empty()) answer_->content = "";
    messages_.push_back(*std::exchange(answer_, std::nullopt));
  }

  std::vector<ChatMessage> messages_;
  std::optional<ChatMessage> answer_;         // an assistant's message that further items belong to
  std::map<std::string, std::string> names_;  // call_id -> the function's name
};

}  // namespace

std::variant<std::vector<ChatMessage>, ApiError> ChatMessagesOf(const Conversation& conversation) {
  ChatWriter writer;
  for (const auto& item : conversation) {
    if (std::optional<ApiError> error = writer.Write(Json::parse(item->json))) return *std::move(error);
  }
  return std::move(writer).Take();
}

}  // namespace deeprack::coordinator
