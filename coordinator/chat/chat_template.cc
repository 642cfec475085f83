#include "coordinator/chat/chat_template.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/builtin_template.h"
#include "coordinator/chat/template_probe.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {
namespace {

constexpr std::string_view kThinkBegin = "<think>";
constexpr std::string_view kThinkEnd = "</think>";

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

absl::Status CannotRender(const absl::Status& error) {
  return absl::InvalidArgumentError(
      absl::StrCat("the chat template cannot render the messages: ", error.message()));
}

// The text without white space at its end; true if `part`, written by the template, stands there.
bool EndsWith(const jinja::Text& text, std::string_view part) {
  const size_t end = jinja::Strip(text.bytes(), nullptr, false, true).end;
  if (end < part.size() || std::string_view(text.bytes()).substr(end - part.size(), part.size()) != part)
    return false;
  for (const jinja::Text::Run& run : text.runs()) {
    if (run.end > end - part.size()) return run.end >= end && run.origin == jinja::Origin::kTemplate;
  }
  return false;
}

std::vector<ByteRange> TemplateRanges(const jinja::Text& text) {
  std::vector<ByteRange> ranges;
  size_t begin = 0;
  for (const jinja::Text::Run& run : text.runs()) {
    if (run.origin == jinja::Origin::kTemplate) ranges.push_back({begin, run.end});
    begin = run.end;
  }
  return ranges;
}

// Sets the variables `thinking` and `enable_thinking` to true, unless the request has set them.
std::string WithThinking(const std::string& template_kwargs) {
  auto variables = nlohmann::ordered_json::parse(template_kwargs, nullptr, /*allow_exceptions=*/false);
  if (!variables.is_object()) return template_kwargs;
  for (const char* name : {"thinking", "enable_thinking"}) {
    if (!variables.contains(name)) variables[name] = true;
  }
  return variables.dump();
}

void AppendTemplate(jinja::Text& text, std::string_view bytes) {
  text.Append(bytes, jinja::Origin::kTemplate);
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Create(const Tokenizer* tokenizer) {
  for (const char* needed :
       {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"}) {
    if (tokenizer->TokenToId(needed)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the tokenizer has no token ", needed, ": it is not one of DeepSeek R1's chat format"));
  }
  ChatTemplateText builtin{.text = std::string(kBuiltinR1Template), .origin = "built-in"};
  builtin.special_tokens = {{"bos_token", "<｜begin▁of▁sentence｜>"},
                            {"eos_token", "<｜end▁of▁sentence｜>"},
                            {"think_opening", "<think>\n"},
                            {"output_separator", ""}};
  return Create(tokenizer, builtin);
}

absl::StatusOr<ChatTemplate::Variant> ChatTemplate::MakeVariant(const std::string& text,
                                                                const ChatTemplateText& found,
                                                                bool* corrected) {
  absl::StatusOr<jinja::Template> program = jinja::Template::Parse(text);
  if (!program.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the chat template in ", found.origin, ": ", program.status().message()));
  }
  Variant variant{*std::move(program), CallArguments::kObject, found.special_tokens};
  const R1Faults faults =
      found.chosen_by_user ? R1Faults() : FindR1Faults(text, variant.program, found.special_tokens);
  if (faults.found) {
    DR_ASSIGN_OR_RETURN(variant.program, jinja::Template::Parse(kBuiltinR1Template));
    variant.variables.emplace_back("think_opening", faults.think_opening);
    variant.variables.emplace_back("output_separator", faults.output_separator);
    *corrected = true;
  }
  variant.arguments = FindCallArguments(variant.program, variant.variables);
  return variant;
}

absl::StatusOr<ChatTemplate> ChatTemplate::Create(const Tokenizer* tokenizer, const ChatTemplateText& text) {
  if (text.text.empty()) return Create(tokenizer);
  ChatTemplate made(tokenizer);
  made.origin_ = text.origin;
  for (const std::string* variant_text : {&text.text, &text.with_tools}) {
    if (variant_text->empty()) continue;
    DR_ASSIGN_OR_RETURN(Variant variant, MakeVariant(*variant_text, text, &made.is_corrected_));
    made.variants_.push_back(std::move(variant));
  }
  made.reply_format_ = FindReplyFormat(text.with_tools.empty() ? text.text : text.with_tools, *tokenizer);
  return made;
}

const ChatTemplate::Variant& ChatTemplate::VariantFor(const ChatPrompt& prompt) const {
  return prompt.tools.empty() ? variants_.front() : variants_.back();
}

absl::StatusOr<jinja::Text> ChatTemplate::RenderMessages(const ChatPrompt& prompt, absl::Time now) const {
  const Variant& variant = VariantFor(prompt);
  DR_ASSIGN_OR_RETURN(const jinja::Dict variables,
                      ChatVariables(prompt, variant.variables, variant.arguments));
  absl::StatusOr<jinja::Text> text = variant.program.Render(variables, now);
  if (!text.ok()) return CannotRender(text.status());
  return text;
}

ReasoningStart ChatTemplate::StartAfter(const jinja::Text& text, const ChatPrompt& prompt,
                                        absl::Time now) const {
  if (!reply_format_.think_end) return ReasoningStart::kNone;
  if (EndsWith(text, kThinkBegin)) return ReasoningStart::kOpenByPrompt;
  if (EndsWith(text, kThinkEnd)) return ReasoningStart::kNone;
  if (reply_format_.tool_calls != ToolCallForm::kDeepSeekR1 ||
      prompt.messages.back().role != ChatRole::kTool) {
    return ReasoningStart::kMayOpen;
  }
  // After outputs R1's prompt opens no <think>, and R1 reasons all the same.
  const ChatPrompt question{.messages = {{.role = ChatRole::kUser, .content = "?"}},
                            .template_kwargs = prompt.template_kwargs};
  const absl::StatusOr<jinja::Text> opening = RenderMessages(question, now);
  const bool reasons = opening.ok() && EndsWith(*opening, kThinkBegin);
  return reasons ? ReasoningStart::kUntilThinkEnd : ReasoningStart::kMayOpen;
}

absl::StatusOr<ChatTemplate::Rendering> ChatTemplate::ContinueContent(const ChatPrompt& prompt,
                                                                      absl::Time now) const {
  // An empty beginning is found by a mark in its place.
  constexpr std::string_view kMark = "deeprack-continues-here";
  ChatPrompt whole = prompt;
  whole.add_generation_prompt = false;
  std::string& content = *whole.messages.back().content;
  const jinja::Stripped inner = jinja::Strip(content, nullptr, true, true);
  const bool is_empty = inner.begin == inner.end;
  if (is_empty) content = kMark;
  DR_ASSIGN_OR_RETURN(const jinja::Text text, RenderMessages(whole, now));

  const std::string stripped = is_empty ? content : content.substr(inner.begin, inner.end - inner.begin);
  const size_t begin = text.bytes().rfind(stripped);
  if (begin == std::string::npos) {
    return absl::InvalidArgumentError(
        "the last message cannot be continued: the chat template changes its content or leaves it out");
  }
  // White space at the content's end stays if the template keeps it.
  const std::string with_end = is_empty ? "" : content.substr(inner.begin);
  const bool keeps_end = text.bytes().compare(begin, with_end.size(), with_end) == 0;
  const size_t end = is_empty ? begin : begin + (keeps_end ? with_end.size() : stripped.size());
  const bool opens = reply_format_.think_end && EndsWith(text.Slice(0, begin), kThinkBegin);
  return Rendering{text.Slice(0, end), opens ? ReasoningStart::kOpenByPrompt : ReasoningStart::kNone};
}

absl::StatusOr<ChatTemplate::Rendering> ChatTemplate::ContinueReasoning(const ChatPrompt& prompt,
                                                                        absl::Time now) const {
  const ChatMessage& last = prompt.messages.back();
  std::string_view content = *last.content;
  const bool stands_apart = last.reasoning && !last.reasoning->empty();
  std::string_view reasoning =
      stands_apart ? std::string_view(*last.reasoning) : content.substr(kThinkBegin.size());
  bool is_closed = stands_apart && !content.empty();
  std::string_view closing = "\n</think>\n\n";
  if (!stands_apart) {
    const size_t end = reasoning.find(kThinkEnd);
    is_closed = end != reasoning.npos;
    closing = kThinkEnd;
    content = is_closed ? reasoning.substr(end + kThinkEnd.size()) : std::string_view();
    reasoning = reasoning.substr(0, end);
  }
  ChatPrompt before = prompt;
  before.messages.pop_back();
  before.add_generation_prompt = true;
  before.template_kwargs = WithThinking(prompt.template_kwargs);
  Rendering rendering;
  DR_ASSIGN_OR_RETURN(rendering.text, RenderMessages(before, now));
  if (!EndsWith(rendering.text, kThinkBegin)) AppendTemplate(rendering.text, "<think>\n");
  if (rendering.text.bytes().ends_with('\n') && reasoning.starts_with('\n')) reasoning.remove_prefix(1);
  rendering.text.Append(reasoning, jinja::Origin::kData);
  if (is_closed) {
    AppendTemplate(rendering.text, closing);
    rendering.text.Append(content, jinja::Origin::kData);
  }
  rendering.reasoning = is_closed ? ReasoningStart::kNone : ReasoningStart::kOpenByPrompt;
  return rendering;
}

absl::StatusOr<ChatTemplate::Rendering> ChatTemplate::RenderPrompt(const ChatPrompt& prompt,
                                                                   absl::Time now) const {
  DR_RETURN_IF_ERROR(CheckMessages(prompt.messages));
  const ChatMessage& last = prompt.messages.back();
  if (last.prefix) {
    // continue_final_message is transformers' way: the template renders past reasoning, or drops it.
    const bool has_reasoning = last.reasoning && !last.reasoning->empty() &&
                               (!prompt.continue_final_message || last.content->empty());
    const bool thinks = has_reasoning || last.content->starts_with(kThinkBegin);
    if (thinks && reply_format_.think_end && prompt.messages.size() > 1)
      return ContinueReasoning(prompt, now);
    return ContinueContent(prompt, now);
  }
  Rendering rendering;
  DR_ASSIGN_OR_RETURN(rendering.text, RenderMessages(prompt, now));
  rendering.reasoning = StartAfter(rendering.text, prompt, now);
  return rendering;
}

absl::StatusOr<RenderedChat> ChatTemplate::Render(const ChatPrompt& prompt, absl::Time now) const {
  DR_ASSIGN_OR_RETURN(const Rendering rendering, RenderPrompt(prompt, now));
  RenderedChat chat{.reasoning = rendering.reasoning};
  DR_ASSIGN_OR_RETURN(chat.ids,
                      tokenizer_->EncodeParts(rendering.text.bytes(), TemplateRanges(rendering.text)));
  return chat;
}

absl::StatusOr<std::string> ChatTemplate::RenderText(const ChatPrompt& prompt, absl::Time now) const {
  DR_ASSIGN_OR_RETURN(const Rendering rendering, RenderPrompt(prompt, now));
  return rendering.text.bytes();
}

}  // namespace deeprack::coordinator
