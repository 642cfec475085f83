#include "coordinator/chat/template_probe.h"

#include <utility>

#include "absl/time/time.h"
#include "coordinator/chat/partial_match.h"

namespace deeprack::coordinator {
namespace {

constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";
constexpr std::string_view kOutputEnd = "<｜tool▁output▁end｜>";
constexpr std::string_view kOutputBegin = "<｜tool▁output▁begin｜>";

ChatMessage User() { return {.role = ChatRole::kUser, .content = "probe"}; }

ChatMessage Call(std::string arguments, std::optional<std::string> content) {
  ChatMessage message{.role = ChatRole::kAssistant, .content = std::move(content)};
  message.tool_calls.push_back({.id = "probe0000", .name = "probe_name", .arguments = std::move(arguments)});
  return message;
}

ChatMessage Output() {
  return {.role = ChatRole::kTool, .content = "probe", .name = "probe_name", .tool_call_id = "probe0000"};
}

ChatMessage Answer() { return {.role = ChatRole::kAssistant, .content = "probe"}; }

std::string Tool() {
  return R"({"name":"probe_name","description":"probe","parameters":{"type":"object","properties":{}}})";
}

}  // namespace

std::string ProbeText(const jinja::Template& chat_template, const ChatPrompt& prompt,
                      const SpecialTokens& special_tokens, CallArguments arguments) {
  const absl::StatusOr<jinja::Dict> variables = ChatVariables(prompt, special_tokens, arguments);
  if (!variables.ok()) return "";
  const absl::StatusOr<jinja::Text> text =
      chat_template.Render(*variables, absl::UnixEpoch(), {.steps = 1'000'000});
  return text.ok() ? text->bytes() : "";
}

CallArguments FindCallArguments(const jinja::Template& chat_template, const SpecialTokens& special_tokens) {
  constexpr std::string_view kKey = "probe_argument";
  // Templates differ in what they take as the content of a message with calls.
  for (const std::optional<std::string>& content :
       {std::optional<std::string>(), std::optional<std::string>("")}) {
    const ChatPrompt prompt{
        .messages = {User(), Call(R"({"probe_argument": "value"})", content), Output(), User()},
        .tools = {Tool()}};
    const std::string as_object = ProbeText(chat_template, prompt, special_tokens, CallArguments::kObject);
    // An object that is written as Python's repr is no JSON.
    if (Contains(as_object, kKey) && !Contains(as_object, "'probe_argument'")) return CallArguments::kObject;
    const std::string as_text = ProbeText(chat_template, prompt, special_tokens, CallArguments::kText);
    if (Contains(as_text, kKey)) return CallArguments::kText;
  }
  return CallArguments::kObject;
}

R1Faults FindR1Faults(std::string_view text, const jinja::Template& chat_template,
                      const SpecialTokens& special_tokens) {
  R1Faults faults;
  if (!Contains(text, kCallsBegin) || !Contains(text, "```json") || !Contains(text, "</think>"))
    return faults;
  const ChatPrompt two_rounds{.messages = {User(), Call("{}", std::nullopt), Output(), Answer(), User(),
                                           Call("{}", std::nullopt), Output()}};
  const std::string rendered = ProbeText(chat_template, two_rounds, special_tokens, CallArguments::kText);
  const size_t first = rendered.find(kCallsBegin);
  faults.found = first != rendered.npos && rendered.find(kCallsBegin, first + 1) == rendered.npos;
  if (!faults.found) return faults;

  const std::string question =
      ProbeText(chat_template, {.messages = {User()}}, special_tokens, CallArguments::kText);
  if (const size_t opening = question.rfind(kAssistant); opening != question.npos) {
    faults.think_opening = question.substr(opening + kAssistant.size());
  }
  const ChatPrompt two_outputs{.messages = {User(), Call("{}", std::nullopt), Output(), Output()}};
  const std::string outputs = ProbeText(chat_template, two_outputs, special_tokens, CallArguments::kText);
  const size_t end = outputs.find(kOutputEnd);
  const size_t begin = end == outputs.npos ? end : outputs.find(kOutputBegin, end);
  if (begin != outputs.npos) {
    faults.output_separator = outputs.substr(end + kOutputEnd.size(), begin - end - kOutputEnd.size());
  }
  return faults;
}

}  // namespace deeprack::coordinator
