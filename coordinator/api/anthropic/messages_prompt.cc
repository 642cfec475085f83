#include "coordinator/api/anthropic/messages_prompt.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_form.h"
#include "coordinator/api/anthropic/content_blocks.h"
#include "coordinator/api/anthropic/conversation.h"
#include "coordinator/api/anthropic/message_fields.h"
#include "coordinator/api/chat_fields.h"

namespace deeprack::coordinator::anthropic {
namespace {

constexpr size_t kMaxMessages = 100'000;
constexpr size_t kMaxTools = 1024;
constexpr size_t kMaxEdits = 64;

void ReadMessage(const Json& value, const std::string& path, JsonFields& outer, Conversation& conversation) {
  if (!outer.IsObject(value, path)) return;
  JsonFields fields(value, kMessage, path + ".", outer);
  const std::string role = fields.String("role").value_or("");
  if (role == "user") {
    conversation.AddUser(ReadContent(fields, "content", Speaker::kUser));
  } else if (role == "assistant") {
    conversation.AddAssistant(ReadContent(fields, "content", Speaker::kAssistant));
  } else if (role == "system") {
    conversation.AddSystem(ReadContent(fields, "content", Speaker::kSystem));
  } else {
    fields.Fail(InvalidValue(fields.Path("role"), absl::StrCat(fields.Path("role"), " is \"", role,
                                                               "\"; it must be user, assistant or system")));
  }
  fields.RefuseOthers();
}

std::vector<ChatMessage> ReadMessages(JsonFields& fields) {
  Conversation conversation;
  if (fields.Has("system")) conversation.AddSystem(ReadContent(fields, "system", Speaker::kSystem));
  const Json* messages = fields.Array("messages", kMaxMessages);
  if (messages == nullptr || messages->empty()) {
    fields.Fail(BadRequest("missing_field", "messages", "messages is missing or empty"));
    return {};
  }
  for (size_t i = 0; i < messages->size() && !fields.failed(); ++i) {
    ReadMessage((*messages)[i], absl::StrCat("messages[", i, "]"), fields, conversation);
  }
  std::vector<ChatMessage> read = std::move(conversation).Finish();
  if (!read.empty() && !read.back().tool_calls.empty()) {
    fields.Fail(BadRequest("invalid_messages", "messages",
                           "the last message has a tool_use block; a user's message with its tool_result "
                           "must follow"));
  }
  return read;
}

// A tool of the client as the object `function` of OpenAI's API, which templates know.
std::string ReadTool(const Json& value, const std::string& path, JsonFields& outer, AnswerForm& form) {
  if (!outer.IsObject(value, path)) return "";
  if (const auto type = value.find("type"); type != value.end() && !type->is_null() && *type != "custom") {
    outer.Fail(Unsupported(path + ".type",
                           absl::StrCat(path, ".type is ", type->dump(),
                                        "; this server knows only tools of type \"custom\", which have an "
                                        "input_schema and run at the client")));
    return "";
  }
  JsonFields fields(value, kTool, path + ".", outer);
  fields.String("type");
  Json function = {{"name", fields.String("name").value_or("")}};
  if (const auto description = fields.String("description")) function["description"] = *description;
  const Json* schema = fields.Object("input_schema");
  if (function["name"] == "" || schema == nullptr) {
    fields.Fail(BadRequest("missing_field", path, path + " must have a name and an input_schema"));
    return "";
  }
  function["parameters"] = *schema;
  if (fields.Bool("strict", false)) form.strict_tools.push_back(function["name"].get<std::string>());
  fields.RefuseOthers();
  return function.dump();
}

void ReadTools(JsonFields& fields, std::vector<std::string>& tools, AnswerForm& form) {
  const Json* values = fields.Array("tools", kMaxTools);
  for (size_t i = 0; values != nullptr && i < values->size() && !fields.failed(); ++i) {
    tools.push_back(ReadTool((*values)[i], absl::StrCat("tools[", i, "]"), fields, form));
  }
}

void ReadToolChoice(JsonFields& fields, std::vector<std::string>& tools, GenerationRequest& request) {
  const Json* choice = fields.Object("tool_choice");
  if (choice == nullptr) return;
  JsonFields inner(*choice, kToolChoice, "tool_choice.", fields);
  const std::string type = inner.String("type").value_or("");
  const std::string name = inner.String("name").value_or("");
  if (type == "none") {
    tools.clear();
  } else if (type == "any") {
    RequireCall(inner, "tool_choice", "", tools, request.form);
  } else if (type == "tool") {
    if (name.empty())
      inner.Fail(BadRequest("missing_field", "tool_choice.name", "tool_choice.name is missing"));
    RequireCall(inner, "tool_choice", name, tools, request.form);
  } else if (type != "auto") {
    inner.Fail(InvalidValue("tool_choice.type", absl::StrCat("tool_choice.type is \"", type,
                                                             "\"; it must be auto, any, tool or none")));
  }
  request.text.one_tool_call = inner.Bool("disable_parallel_tool_use", false);
  inner.RefuseOthers();
}

void ReadThinkingSwitch(JsonFields& fields, Json& variables) {
  const Json* thinking = fields.Object("thinking");
  if (thinking == nullptr) return;
  JsonFields inner(*thinking, kThinking, "thinking.", fields);
  const std::string type = inner.String("type").value_or("");
  if (type != "enabled" && type != "disabled" && type != "adaptive" && type != "between_tools") {
    inner.Fail(InvalidValue("thinking.type",
                            absl::StrCat("thinking.type is \"", type,
                                         "\"; it must be enabled, disabled, adaptive or between_tools")));
  }
  SwitchThinking(variables, type != "disabled");
  inner.RefuseOthers();
}

void ReadOutputConfig(JsonFields& fields, Json& variables, AnswerForm& form) {
  ReadTextFormat(fields, "output_format", kOutputFormat, form);
  const Json* config = fields.Object("output_config");
  if (config == nullptr) return;
  JsonFields inner(*config, kOutputConfig, "output_config.", fields);
  if (const auto effort = inner.String("effort")) variables["reasoning_effort"] = *effort;
  ReadTextFormat(inner, "format", kOutputFormat, form);
  inner.RefuseOthers();
}

// clear_thinking edits are about past thoughts, which each template keeps or drops by its own rule.
void CheckContextManagement(JsonFields& fields) {
  const Json* management = fields.Object("context_management");
  if (management == nullptr) return;
  JsonFields inner(*management, kContextManagement, "context_management.", fields);
  const Json* edits = inner.Array("edits", kMaxEdits);
  for (size_t i = 0; edits != nullptr && i < edits->size(); ++i) {
    const Json& edit = (*edits)[i];
    const Json type = edit.is_object() ? edit.value("type", Json()) : Json();
    if (type.is_string() && absl::StartsWith(type.get_ref<const std::string&>(), "clear_thinking_")) continue;
    const std::string path = absl::StrCat("context_management.edits[", i, "].type");
    inner.Fail(Unsupported(
        path, absl::StrCat(path, " is ", type.dump(), "; the server takes only clear_thinking edits")));
  }
  inner.RefuseOthers();
}

}  // namespace

ChatPrompt ReadMessagesPrompt(JsonFields& fields, GenerationRequest& request) {
  ChatPrompt prompt;
  prompt.messages = ReadMessages(fields);
  ReadTools(fields, prompt.tools, request.form);
  ReadToolChoice(fields, prompt.tools, request);
  Json variables = Json::object();
  ReadThinkingSwitch(fields, variables);
  ReadOutputConfig(fields, variables, request.form);
  CheckContextManagement(fields);
  prompt.template_kwargs = variables.dump();
  return prompt;
}

}  // namespace deeprack::coordinator::anthropic
