#include "coordinator/api/chat_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_form.h"
#include "coordinator/api/chat_fields.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {
namespace {

constexpr size_t kMaxMessages = 4096;
constexpr size_t kMaxContentParts = 1024;
constexpr size_t kMaxTools = 128;
constexpr size_t kMaxToolCalls = 128;
constexpr size_t kMaxTemplateVariables = 64;
constexpr size_t kMaxTemplateVariableBytes = 16384;

// A part of a message's content, by its type.
struct ContentPart {
  std::string text;
  bool reasoning = false;  // part of the thought, not of the content
};

ContentPart ReadContentPart(JsonFields& fields, const Json& part, const std::string& path) {
  if (part.is_string()) return {part.get<std::string>()};
  if (!fields.IsObject(part, path)) return {};
  JsonFields inner(part, kContentPart, path + ".", fields);
  const std::string type = inner.String("type").value_or("");
  const bool is_text = type == "text" || type == "input_text" || type == "output_text";
  const bool is_reasoning = type == "thinking" || type == "reasoning";
  if (!is_text && !is_reasoning && type != "refusal") {
    inner.Fail(Unsupported(path + ".type",
                           absl::StrCat(path, ".type is \"", type, "\"; this model reads only \"text\"")));
    return {};
  }
  // The text stands in a field named like the type, or in `text`.
  std::optional<std::string> text;
  if (type == "thinking") text = inner.String("thinking");
  if (type == "refusal") text = inner.String("refusal");
  if (!text) text = inner.String("text");
  if (!text) inner.Fail(BadRequest("missing_field", path + ".text", path + ".text is missing"));
  inner.RefuseOthers();
  return {text.value_or(""), is_reasoning};
}

// content: a string, or an array of parts. Absent or null: message.content stays absent.
void ReadContent(JsonFields& fields, ChatMessage& message) {
  const Json* value = fields.Any("content");
  if (value == nullptr) return;
  if (value->is_string()) {
    message.content = value->get<std::string>();
    return;
  }
  message.content.emplace();
  const std::string path = fields.Path("content");
  if (!value->is_array()) {
    return fields.Fail(
        BadRequest("invalid_type", path,
                   absl::StrCat(path, " must be a string or an array of parts, not ", value->type_name())));
  }
  const Json* parts = fields.Array("content", kMaxContentParts);
  for (size_t i = 0; parts != nullptr && i < parts->size() && !fields.failed(); ++i) {
    const ContentPart part = ReadContentPart(fields, (*parts)[i], absl::StrCat(path, "[", i, "]"));
    if (part.reasoning) {
      message.reasoning = message.reasoning.value_or("") + part.text;
    } else {
      *message.content += part.text;
    }
  }
}

// `function` is an object with the call's name and arguments.
void ReadCalledFunction(JsonFields& fields, const Json* function, const std::string& path, ToolCall& call) {
  if (function != nullptr) {
    JsonFields inner(*function, kToolCallFunction, path + ".", fields);
    call.name = inner.String("name").value_or("");
    const Json* arguments = inner.Any("arguments");
    if (arguments != nullptr)
      call.arguments = arguments->is_object() ? arguments->dump() : inner.String("arguments").value_or("");
    inner.RefuseOthers();
  }
  if (call.name.empty()) fields.Fail(BadRequest("missing_field", path + ".name", path + ".name is missing"));
}

ToolCall ReadToolCall(JsonFields& message, const Json& value, const std::string& path) {
  ToolCall call;
  if (!message.IsObject(value, path)) return call;
  JsonFields fields(value, kToolCall, path + ".", message);
  call.id = fields.String("id").value_or("");
  call.type = fields.String("type").value_or("function");
  ReadCalledFunction(fields, fields.Object("function"), path + ".function", call);
  fields.RefuseOthers();
  return call;
}

std::optional<ChatRole> RoleNamed(std::string_view name) {
  if (name == "system" || name == "developer") return ChatRole::kSystem;
  if (name == "user") return ChatRole::kUser;
  if (name == "assistant") return ChatRole::kAssistant;
  if (name == "tool" || name == "function") return ChatRole::kTool;
  return std::nullopt;
}

const RequestObject& FieldsOf(ChatRole role) {
  if (role == ChatRole::kAssistant) return kAssistantMessage;
  return role == ChatRole::kTool ? kToolMessage : kMessage;
}

void ReadAssistant(JsonFields& fields, const std::string& path, ChatMessage& message) {
  message.prefix = fields.Bool("prefix", false);
  // Both names of the thought may be there, with the same text.
  for (const char* name : {"reasoning", "reasoning_content"}) {
    if (std::optional<std::string> thought = fields.String(name)) message.reasoning = std::move(thought);
  }
  const Json* calls = fields.Array("tool_calls", kMaxToolCalls);
  for (size_t i = 0; calls != nullptr && i < calls->size() && !fields.failed(); ++i) {
    message.tool_calls.push_back(
        ReadToolCall(fields, (*calls)[i], absl::StrCat(path, ".tool_calls[", i, "]")));
  }
  if (const Json* call = fields.Object("function_call")) {
    ReadCalledFunction(fields, call, path + ".function_call", message.tool_calls.emplace_back());
  }
  // An assistant that was cut while it thought, or that refused, has no content.
  std::optional<std::string> refusal = fields.String("refusal");
  if (!message.content && message.tool_calls.empty() && (refusal || message.reasoning)) {
    message.content = refusal.value_or("");
  }
}

ChatMessage ReadMessage(JsonFields& request, const Json& value, const std::string& path) {
  ChatMessage message;
  if (!request.IsObject(value, path)) return message;
  const auto named = value.find("role");
  const std::optional<ChatRole> found = named != value.end() && named->is_string()
                                            ? RoleNamed(named->get_ref<const std::string&>())
                                            : std::nullopt;
  const bool known = found.has_value();
  message.role = found.value_or(ChatRole::kUser);
  JsonFields fields(value, FieldsOf(message.role), path + ".", request);
  const std::string role = fields.String("role").value_or("");
  if (!known) {
    fields.Fail(InvalidValue(path + ".role",
                             absl::StrCat(path, ".role is \"", role,
                                          "\"; it must be system, developer, user, assistant or tool")));
  }
  ReadContent(fields, message);
  message.name = fields.String("name");
  if (message.role == ChatRole::kAssistant) ReadAssistant(fields, path, message);
  if (message.role == ChatRole::kTool) message.tool_call_id = fields.String("tool_call_id").value_or("");
  fields.RefuseOthers();
  return message;
}

void ReadTools(JsonFields& fields, std::vector<std::string>& tools, AnswerForm& form) {
  const Json* values = fields.Array("tools", kMaxTools);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i) {
    const Json& tool = (*values)[i];
    const std::string path = absl::StrCat("tools[", i, "]");
    const bool is_function = tool.is_object() && tool.value("type", Json()) == "function" &&
                             tool.contains("function") && tool["function"].is_object() &&
                             tool["function"].value("name", Json()).is_string();
    if (!is_function) {
      return fields.Fail(
          BadRequest("invalid_type", path,
                     path + " must be {\"type\": \"function\", \"function\": {\"name\": ..., ...}}"));
    }
    const Json& function = tool["function"];
    tools.push_back(function.dump());
    if (function.value("strict", Json()) == true)
      form.strict_tools.push_back(function["name"].get<std::string>());
  }
}

// logprobs: a boolean, with the number of alternatives in top_logprobs; or, as /v1/completions has it, that
// number.
void ReadLogprobs(JsonFields& fields, const ServedModel& model, GenerationRequest& request) {
  const Json* value = fields.Any("logprobs");
  const bool is_number = value != nullptr && value->is_number();
  const int64_t number = is_number ? fields.Integer("logprobs", 0, 0, model.max_logprobs) : 0;
  const bool logprobs = is_number || fields.Bool("logprobs", false);
  const int64_t top = fields.Integer("top_logprobs", number, 0, model.max_logprobs);
  if (top > 0 && !logprobs) {
    fields.Fail(BadRequest("invalid_request", "top_logprobs", "top_logprobs needs logprobs: true"));
  }
  if (logprobs) request.request.sampling.top_logprobs = static_cast<int32_t>(top);
}

// max_completion_tokens stands over max_tokens, as in vLLM.
std::optional<int64_t> ReadChatMaxTokens(JsonFields& fields) {
  const std::optional<int64_t> newer = ReadMaxTokens(fields, "max_completion_tokens", 1);
  const std::optional<int64_t> older = ReadMaxTokens(fields, "max_tokens", 1);
  return newer ? newer : older;
}

// thinking: DeepSeek's {"type": "enabled"}, or a boolean.
void ReadThinking(JsonFields& fields, Json& variables) {
  const Json* value = fields.Any("thinking");
  if (value == nullptr) return;
  if (value->is_boolean()) return SwitchThinking(variables, value->get<bool>());
  const Json* object = fields.Object("thinking");
  if (object == nullptr) return;
  JsonFields inner(*object, kThinking, "thinking.", fields);
  const std::optional<std::string> type = inner.String("type");
  if (type == "enabled" || type == "disabled") {
    SwitchThinking(variables, type == "enabled");
  } else if (type != "auto" && type != "adaptive") {  // these two leave the choice to the server
    inner.Fail(InvalidValue("thinking.type", absl::StrCat("thinking.type is \"", type.value_or(""),
                                                          "\"; it must be enabled, disabled or auto")));
  }
  inner.RefuseOthers();
}

// The variables that the request sets in the template. The more special field stands over the more general
// one.
std::string ReadTemplateVariables(JsonFields& fields) {
  Json variables = Json::object();
  ReadReasoningEffort(fields, "reasoning_effort", variables);
  ReadThinking(fields, variables);
  if (fields.Has("enable_thinking")) SwitchThinking(variables, fields.Bool("enable_thinking", true));
  if (const Json* given = fields.Object("chat_template_kwargs")) {
    if (given->size() > kMaxTemplateVariables || given->dump().size() > kMaxTemplateVariableBytes) {
      fields.Fail(InvalidValue("chat_template_kwargs",
                               absl::StrCat("chat_template_kwargs may have ", kMaxTemplateVariables,
                                            " variables and ", kMaxTemplateVariableBytes, " bytes of JSON")));
    } else {
      variables.update(*given);
    }
  }
  return variables.dump();
}

void ReadPromptEnd(JsonFields& fields, ChatPrompt& prompt) {
  prompt.continue_final_message = fields.Bool("continue_final_message", false);
  prompt.add_generation_prompt = fields.Bool("add_generation_prompt", !prompt.continue_final_message);
  if (!prompt.continue_final_message || prompt.messages.empty()) return;
  if (prompt.add_generation_prompt) {
    fields.Fail(BadRequest("invalid_request", "continue_final_message",
                           "continue_final_message and add_generation_prompt contradict each other"));
  } else if (prompt.messages.back().role != ChatRole::kAssistant) {
    fields.Fail(BadRequest("invalid_request", "continue_final_message",
                           "continue_final_message needs a last message of the assistant"));
  } else {
    prompt.messages.back().prefix = true;
  }
}

ApiError NoChatTemplate() {
  return BadRequest("no_chat_template", "",
                    "this model's tokenizer has no chat tokens; /v1/completions takes any prompt");
}

ApiError InvalidMessages(const absl::Status& status) {
  return BadRequest("invalid_messages", "messages", std::string(status.message()));
}

}  // namespace

ChatPrompt ReadChatPrompt(JsonFields& fields, AnswerForm& form) {
  ChatPrompt prompt;
  const Json* messages = fields.Array("messages", kMaxMessages);
  if (messages == nullptr) {
    fields.Fail(BadRequest("missing_field", "messages", "messages is missing"));
    return prompt;
  }
  for (size_t i = 0; i < messages->size() && !fields.failed(); ++i) {
    prompt.messages.push_back(ReadMessage(fields, (*messages)[i], absl::StrCat("messages[", i, "]")));
  }
  ReadTools(fields, prompt.tools, form);
  ReadToolChoice(fields, prompt.tools, form);
  ReadPromptEnd(fields, prompt);
  prompt.template_kwargs = ReadTemplateVariables(fields);
  return prompt;
}

std::optional<ApiError> RenderChat(const ChatPrompt& prompt, const ServedModel& model,
                                   GenerationRequest& request) {
  if (!model.chat_template) return NoChatTemplate();
  absl::StatusOr<RenderedChat> chat = model.chat_template->Render(prompt);
  if (!chat.ok()) return InvalidMessages(chat.status());
  request.prompts.push_back(std::move(chat->ids));
  request.text.format = model.chat_template->reply_format();
  request.text.reasoning = chat->reasoning;
  request.text.parse_tool_calls = !prompt.tools.empty();
  const bool continues =
      !prompt.messages.empty() && (prompt.continue_final_message || prompt.messages.back().prefix);
  return SettleForm(request.form, prompt.tools, continues ? prompt.messages.back().content.value_or("") : "",
                    request);
}

std::variant<std::string, ApiError> RenderChatText(const ChatPrompt& prompt, const ServedModel& model) {
  if (!model.chat_template) return NoChatTemplate();
  absl::StatusOr<std::string> text = model.chat_template->RenderText(prompt);
  if (!text.ok()) return InvalidMessages(text.status());
  return *std::move(text);
}

std::variant<UnrenderedChat, ApiError> ReadChatRequest(std::string_view body, const ServedModel& model) {
  BodyReader reader(body, kChatRequest, model.ignore_unknown_fields);
  JsonFields& fields = reader.fields();

  UnrenderedChat chat;
  GenerationRequest& request = chat.request;
  chat.prompt = ReadChatPrompt(fields, request.form);
  ReadSharedFields(fields, model, request);
  ReadTextFormat(fields, "response_format", kResponseFormat, request.form);
  ReadLogprobs(fields, model, request);
  ReadPromptLogprobs(fields, model, request);
  request.include_reasoning = fields.Bool("include_reasoning", true);
  const bool continues =
      !chat.prompt.messages.empty() && chat.prompt.messages.back().role == ChatRole::kAssistant;
  if (fields.Bool("echo", false) && continues)
    request.echo = chat.prompt.messages.back().content.value_or("");
  chat.max_tokens = ReadChatMaxTokens(fields);
  request.text.one_tool_call = !fields.Bool("parallel_tool_calls", true);
  fields.RefuseOthers();
  request.ignored_fields = reader.ignored();
  if (reader.error()) return *reader.error();
  return chat;
}

std::variant<GenerationRequest, ApiError> ParseChatRequest(std::string_view body, const ServedModel& model) {
  std::variant<UnrenderedChat, ApiError> read = ReadChatRequest(body, model);
  if (ApiError* error = std::get_if<ApiError>(&read)) return *std::move(error);
  auto& chat = std::get<UnrenderedChat>(read);
  std::optional<ApiError> error = RenderChat(chat.prompt, model, chat.request);
  if (!error) error = SettleMaxTokens(model, chat.max_tokens, kNoLimit, chat.request);
  if (error) return *std::move(error);
  return std::move(chat.request);
}

}  // namespace deeprack::coordinator
