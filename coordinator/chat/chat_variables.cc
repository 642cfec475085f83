#include "coordinator/chat/chat_variables.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator {
namespace {

using jinja::Dict;
using jinja::Value;

const char* RoleName(ChatRole role) {
  switch (role) {
    case ChatRole::kSystem:
      return "system";
    case ChatRole::kUser:
      return "user";
    case ChatRole::kAssistant:
      return "assistant";
    case ChatRole::kTool:
      return "tool";
  }
  return "user";
}

Value Arguments(const std::string& text, CallArguments form) {
  if (form == CallArguments::kText) return Value::Data(text);
  if (text.empty()) return Value::Of(Dict());
  absl::StatusOr<Value> object = jinja::FromJson(text);
  return object.ok() ? *std::move(object) : Value::Data(text);
}

Value CallValue(const ToolCall& call, CallArguments form) {
  Dict function;
  function.Set("name", Value::Data(call.name));
  function.Set("arguments", Arguments(call.arguments, form));
  Dict value;
  if (!call.id.empty()) value.Set("id", Value::Data(call.id));
  value.Set("type", Value::Data(call.type));
  value.Set("function", Value::Of(std::move(function)));
  return Value::Of(std::move(value));
}

Value MessageValue(const ChatMessage& message, CallArguments form, bool shows_prefix) {
  Dict value;
  value.Set("role", Value::Literal(RoleName(message.role)));
  value.Set("content", message.content ? Value::Data(*message.content) : Value::None());
  if (message.reasoning) {
    value.Set("reasoning_content", Value::Data(*message.reasoning));
    value.Set("reasoning", Value::Data(*message.reasoning));
  }
  if (message.name) value.Set("name", Value::Data(*message.name));
  if (!message.tool_call_id.empty()) value.Set("tool_call_id", Value::Data(message.tool_call_id));
  if (!message.tool_calls.empty()) {
    std::vector<Value> calls;
    for (const ToolCall& call : message.tool_calls) calls.push_back(CallValue(call, form));
    value.Set("tool_calls", Value::List(std::move(calls)));
  }
  if (message.prefix && shows_prefix) value.Set("prefix", Value::Bool(true));
  return Value::Of(std::move(value));
}

absl::StatusOr<Value> ToolsValue(const std::vector<std::string>& tools) {
  if (tools.empty()) return Value::None();
  std::vector<Value> values;
  for (const std::string& tool : tools) {
    absl::StatusOr<Value> function = jinja::FromJson(tool);
    if (!function.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tools[", values.size(), "].function: ", function.status().message()));
    }
    Dict value;
    value.Set("type", Value::Literal("function"));
    value.Set("function", *std::move(function));
    values.push_back(Value::Of(std::move(value)));
  }
  return Value::List(std::move(values));
}

}  // namespace

absl::StatusOr<Dict> ChatVariables(const ChatPrompt& prompt, const SpecialTokens& special_tokens,
                                   CallArguments arguments) {
  Dict variables;
  std::vector<Value> messages;
  for (const ChatMessage& message : prompt.messages) {
    // Clients set the field `prefix` for DeepSeek's API alone.
    messages.push_back(MessageValue(message, arguments, !prompt.continue_final_message));
  }
  variables.Set("messages", Value::List(std::move(messages)));
  DR_ASSIGN_OR_RETURN(Value tools, ToolsValue(prompt.tools));
  variables.Set("tools", std::move(tools));
  variables.Set("documents", Value::None());
  variables.Set("add_generation_prompt", Value::Bool(prompt.add_generation_prompt));
  for (const auto& [name, text] : special_tokens) variables.Set(name, Value::Literal(text));
  const absl::StatusOr<Value> more = jinja::FromJson(prompt.template_kwargs);
  if (!more.ok() || !more->is(jinja::Kind::kDict)) {
    return absl::InvalidArgumentError("chat_template_kwargs must be a JSON object");
  }
  for (const auto& [name, value] : more->dict().entries()) {
    for (const char* taken : {"messages", "tools", "documents", "add_generation_prompt"}) {
      if (name.bytes() == taken) {
        return absl::InvalidArgumentError(absl::StrCat("chat_template_kwargs.", taken,
                                                       " is a variable of its own: use the request's field"));
      }
    }
    variables.Set(name, value);
  }
  return variables;
}

}  // namespace deeprack::coordinator
