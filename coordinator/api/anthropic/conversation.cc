#include "coordinator/api/anthropic/conversation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace deeprack::coordinator::anthropic {
namespace {

constexpr char kBetween[] = "\n\n";  // texts that are separate for the client

// Claude Code's label of a request, different in each. In the prompt the label would keep the prefix cache
// from every later block.
constexpr char kBillingLabel[] = "x-anthropic-billing-header";

void Join(std::optional<std::string>& text, std::string more) {
  text = text && !text->empty() ? absl::StrCat(*text, more.empty() ? "" : kBetween, more) : std::move(more);
}

// The place of each result's call among `calls`; results of other calls come last.
void SortLikeCalls(const std::vector<ToolCall>& calls, std::vector<ToolResult>& results) {
  const auto place = [&](const ToolResult& result) {
    return std::ranges::find(calls, result.tool_use_id, &ToolCall::id) - calls.begin();
  };
  std::ranges::stable_sort(results, {}, place);
}

}  // namespace

void Conversation::AddSystem(const MessageContent& content) {
  std::vector<std::string> texts;
  for (const std::string& text : content.texts) {
    if (!text.empty() && !absl::StartsWith(text, kBillingLabel)) texts.push_back(text);
  }
  if (texts.empty()) return;
  std::string text = absl::StrJoin(texts, kBetween);
  if (messages_.empty()) {
    messages_.push_back({.role = ChatRole::kSystem, .content = std::move(text)});
  } else if (messages_.back().role == ChatRole::kAssistant) {
    AddUserText(std::move(text));
  } else {
    Join(messages_.back().content, std::move(text));
  }
}

void Conversation::AddUser(MessageContent content) {
  if (!messages_.empty()) SortLikeCalls(messages_.back().tool_calls, content.results);
  for (ToolResult& result : content.results) {
    ChatMessage message{.role = ChatRole::kTool, .content = std::move(result.content)};
    if (const auto named = tool_names_.find(result.tool_use_id); named != tool_names_.end()) {
      message.name = named->second;
    }
    message.tool_call_id = std::move(result.tool_use_id);
    messages_.push_back(std::move(message));
  }
  std::string text = absl::StrJoin(content.texts, kBetween);
  if (content.results.empty() || !text.empty()) AddUserText(std::move(text));
}

void Conversation::AddUserText(std::string text) {
  if (!messages_.empty() && messages_.back().role == ChatRole::kUser) {
    return Join(messages_.back().content, std::move(text));
  }
  messages_.push_back({.role = ChatRole::kUser, .content = std::move(text)});
}

void Conversation::AddAssistant(MessageContent content) {
  if (!ends_with_assistant()) messages_.push_back({.role = ChatRole::kAssistant});
  ChatMessage& message = messages_.back();
  if (!content.thoughts.empty()) Join(message.reasoning, absl::StrJoin(content.thoughts, kBetween));
  // A model's text blocks are parts of one text.
  if (!content.texts.empty()) Join(message.content, absl::StrJoin(content.texts, ""));
  for (ToolCall& call : content.calls) {
    tool_names_[call.id] = call.name;
    message.tool_calls.push_back(std::move(call));
  }
  if (message.tool_calls.empty() && !message.content) message.content = "";
}

bool Conversation::ends_with_assistant() const {
  return !messages_.empty() && messages_.back().role == ChatRole::kAssistant;
}

std::vector<ChatMessage> Conversation::Finish() && {
  if (ends_with_assistant()) {
    ChatMessage& last = messages_.back();
    last.prefix = last.tool_calls.empty();
    if (last.prefix && last.content->empty() && !last.reasoning) messages_.pop_back();
  }
  return std::move(messages_);
}

}  // namespace deeprack::coordinator::anthropic
