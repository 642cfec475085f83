#include "coordinator/chat/chat_template.h"

#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::coordinator {
namespace {

constexpr std::string_view kThinkBegin = "<think>";
constexpr std::string_view kThinkEnd = "</think>";

// Collects the prompt's ids. The text between two control tokens is encoded at once, because BPE may merge
// across its parts.
class PromptWriter {
 public:
  explicit PromptWriter(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  void Text(std::string_view text) { pending_.append(text); }

  void Control(TokenId id) {
    Flush();
    ids_.push_back(id);
  }

  // Appends the id if the vocabulary has the token, else its text.
  void Control(const std::optional<TokenId>& id, std::string_view text) { id ? Control(*id) : Text(text); }

  absl::StatusOr<std::vector<TokenId>> Finish() && {
    Flush();
    if (!status_.ok()) return status_;
    return std::move(ids_);
  }

 private:
  void Flush() {
    if (pending_.empty() || !status_.ok()) return;
    absl::StatusOr<std::vector<TokenId>> ids = tokenizer_->Encode(pending_, /*allow_special=*/false);
    pending_.clear();
    if (!ids.ok()) {
      status_ = ids.status();
      return;
    }
    ids_.insert(ids_.end(), ids->begin(), ids->end());
  }

  const Tokenizer* tokenizer_;
  std::string pending_;
  std::vector<TokenId> ids_;
  absl::Status status_;
};

std::string SystemText(std::span<const ChatMessage> messages, std::span<const std::string> tools) {
  std::string text;
  bool first = true;
  for (const ChatMessage& message : messages) {
    if (message.role != ChatRole::kSystem) continue;
    if (!first) text += "\n\n";
    text += *message.content;
    first = false;
  }
  if (tools.empty()) return text;
  if (!text.empty()) text += "\n\n";
  text +=
      "## Tools\n\nYou may call these functions. To call one, write a tool call: the function's name, then "
      "its "
      "arguments as a JSON object that fits the function's parameters.\n";
  for (const std::string& tool : tools) absl::StrAppend(&text, "\n```json\n", tool, "\n```\n");
  return text;
}

absl::Status CheckMessages(std::span<const ChatMessage> messages) {
  if (messages.empty())
    return absl::InvalidArgumentError("messages is empty: at least one message is needed");
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const bool calls_tools = message.role == ChatRole::kAssistant && !message.tool_calls.empty();
    if (!message.content && !calls_tools) {
      return absl::InvalidArgumentError(absl::StrCat(
          "messages[", i, "].content is missing: only an assistant message with tool_calls may do without"));
    }
    if (!message.prefix) continue;
    if (message.role != ChatRole::kAssistant || i + 1 != messages.size() || calls_tools) {
      return absl::InvalidArgumentError(absl::StrCat(
          "messages[", i,
          "].prefix is for the last message only, which must be an assistant's without tool_calls"));
    }
  }
  return absl::OkStatus();
}

// Renders one conversation. The members after_tool_, calls_opened_ and outputs_opened_ are the template's
// flags.
class Renderer {
 public:
  Renderer(const ChatTokens& tokens, PromptWriter* out) : tokens_(tokens), out_(*out) {}

  // Returns true if <think> is open at the end.
  bool Render(std::span<const ChatMessage> messages, std::span<const std::string> tools,
              bool generation_prompt) {
    out_.Control(tokens_.bos);
    out_.Text(SystemText(messages, tools));
    bool in_reasoning = false;
    for (const ChatMessage& message : messages) {
      switch (message.role) {
        case ChatRole::kSystem:
          break;
        case ChatRole::kUser:
          after_tool_ = false;
          out_.Control(tokens_.user);
          out_.Text(*message.content);
          break;
        case ChatRole::kAssistant:
          if (message.prefix) {
            return RenderPrefix(*message.content);
          } else if (!message.tool_calls.empty()) {
            RenderCalls(message);
          } else {
            RenderAnswer(*message.content);
          }
          break;
        case ChatRole::kTool:
          RenderToolOutput(*message.content);
          break;
      }
    }
    if (after_tool_) {
      out_.Control(tokens_.tool_outputs_end, "<｜tool▁outputs▁end｜>");
    } else if (generation_prompt) {
      out_.Control(tokens_.assistant);
      out_.Control(tokens_.think_begin, kThinkBegin);
      out_.Text("\n");
      in_reasoning = true;
    }
    return in_reasoning;
  }

 private:
  void RenderAnswer(std::string_view content) {
    if (after_tool_) {
      out_.Control(tokens_.tool_outputs_end, "<｜tool▁outputs▁end｜>");
      after_tool_ = false;
    } else {
      out_.Control(tokens_.assistant);
      if (const size_t end = content.rfind(kThinkEnd); end != content.npos) {
        content.remove_prefix(end + kThinkEnd.size());
      }
    }
    out_.Text(content);
    out_.Control(tokens_.eos);
  }

  // Renders the beginning of the answer. If it starts with <think>, its think tags become control tokens.
  bool RenderPrefix(std::string_view content) {
    if (after_tool_) {
      out_.Control(tokens_.tool_outputs_end, "<｜tool▁outputs▁end｜>");
    } else {
      out_.Control(tokens_.assistant);
    }
    bool in_reasoning = false;
    if (content.substr(0, kThinkBegin.size()) == kThinkBegin) {
      content.remove_prefix(kThinkBegin.size());
      out_.Control(tokens_.think_begin, kThinkBegin);
      in_reasoning = true;
      if (const size_t end = content.find(kThinkEnd); end != content.npos) {
        out_.Text(content.substr(0, end));
        out_.Control(tokens_.think_end, kThinkEnd);
        content.remove_prefix(end + kThinkEnd.size());
        in_reasoning = false;
      }
    }
    out_.Text(content);
    return in_reasoning;
  }

  void RenderCalls(const ChatMessage& message) {
    after_tool_ = false;
    for (const ToolCall& call : message.tool_calls) {
      if (!calls_opened_) {
        out_.Control(tokens_.assistant);
        if (message.content) out_.Text(*message.content);
        out_.Control(tokens_.tool_calls_begin, "<｜tool▁calls▁begin｜>");
        calls_opened_ = true;
      } else {
        out_.Text("\n");
      }
      out_.Control(tokens_.tool_call_begin, "<｜tool▁call▁begin｜>");
      out_.Text(call.type);
      out_.Control(tokens_.tool_sep, "<｜tool▁sep｜>");
      out_.Text(absl::StrCat(call.name, "\n```json\n", call.arguments, "\n```"));
      out_.Control(tokens_.tool_call_end, "<｜tool▁call▁end｜>");
    }
    out_.Control(tokens_.tool_calls_end, "<｜tool▁calls▁end｜>");
    out_.Control(tokens_.eos);
  }

  void RenderToolOutput(std::string_view content) {
    after_tool_ = true;
    if (!outputs_opened_) out_.Control(tokens_.tool_outputs_begin, "<｜tool▁outputs▁begin｜>");
    outputs_opened_ = true;
    out_.Control(tokens_.tool_output_begin, "<｜tool▁output▁begin｜>");
    out_.Text(content);
    out_.Control(tokens_.tool_output_end, "<｜tool▁output▁end｜>");
  }

  const ChatTokens& tokens_;
  PromptWriter& out_;
  bool after_tool_ = false;
  bool calls_opened_ = false;
  bool outputs_opened_ = false;
};

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Create(const Tokenizer* tokenizer) {
  ChatTemplate result(tokenizer);
  ChatTokens& tokens = result.tokens_;
  const std::pair<const char*, TokenId*> required[] = {
      {"<｜begin▁of▁sentence｜>", &tokens.bos},
      {"<｜end▁of▁sentence｜>", &tokens.eos},
      {"<｜User｜>", &tokens.user},
      {"<｜Assistant｜>", &tokens.assistant},
  };
  for (const auto& [text, id] : required) {
    const std::optional<TokenId> found = tokenizer->TokenToId(text);
    if (!found) {
      return absl::FailedPreconditionError(
          absl::StrCat("the tokenizer has no token ", text, ": it is not one of DeepSeek R1's chat format"));
    }
    *id = *found;
  }
  tokens.think_begin = tokenizer->TokenToId(kThinkBegin);
  tokens.think_end = tokenizer->TokenToId(kThinkEnd);
  tokens.tool_calls_begin = tokenizer->TokenToId("<｜tool▁calls▁begin｜>");
  tokens.tool_calls_end = tokenizer->TokenToId("<｜tool▁calls▁end｜>");
  tokens.tool_call_begin = tokenizer->TokenToId("<｜tool▁call▁begin｜>");
  tokens.tool_call_end = tokenizer->TokenToId("<｜tool▁call▁end｜>");
  tokens.tool_sep = tokenizer->TokenToId("<｜tool▁sep｜>");
  tokens.tool_outputs_begin = tokenizer->TokenToId("<｜tool▁outputs▁begin｜>");
  tokens.tool_outputs_end = tokenizer->TokenToId("<｜tool▁outputs▁end｜>");
  tokens.tool_output_begin = tokenizer->TokenToId("<｜tool▁output▁begin｜>");
  tokens.tool_output_end = tokenizer->TokenToId("<｜tool▁output▁end｜>");
  result.reply_format_ = FindReplyFormat("<｜tool▁calls▁begin｜>```json", *tokenizer);
  return result;
}

absl::StatusOr<RenderedChat> ChatTemplate::Render(const ChatPrompt& prompt) const {
  DR_RETURN_IF_ERROR(CheckMessages(prompt.messages));
  PromptWriter writer(tokenizer_);
  RenderedChat chat;
  chat.in_reasoning =
      Renderer(tokens_, &writer).Render(prompt.messages, prompt.tools, prompt.add_generation_prompt);
  // After tool outputs the prompt opens no <think>, and R1 reasons all the same.
  const bool after_tool = prompt.messages.back().role == ChatRole::kTool;
  if (reply_format_.think_end && chat.in_reasoning) chat.reasoning = ReasoningStart::kOpenByPrompt;
  if (reply_format_.think_end && after_tool) chat.reasoning = ReasoningStart::kUntilThinkEnd;
  DR_ASSIGN_OR_RETURN(chat.ids, std::move(writer).Finish());
  return chat;
}

}  // namespace deeprack::coordinator
