#include "coordinator/api/chat_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {
namespace {

constexpr size_t kMaxMessages = 4096;
constexpr size_t kMaxContentParts = 1024;
constexpr size_t kMaxTools = 128;
constexpr size_t kMaxToolCalls = 128;

// content: a string, or an array of {type: "text", text}. nullopt: absent or null.
std::optional<std::string> ReadContent(JsonFields& fields) {
  const Json* value = fields.Any("content");
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  const std::string path = fields.Path("content");
  if (!value->is_array()) {
    fields.Fail(
        BadRequest("invalid_type", path,
                   absl::StrCat(path, " must be a string or an array of parts, not ", value->type_name())));
    return "";
  }
  const Json* parts = fields.Array("content", kMaxContentParts);
  std::string text;
  for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
    const Json& part = (*parts)[i];
    const std::string part_path = absl::StrCat(path, "[", i, "]");
    if (!part.is_object()) {
      fields.Fail(BadRequest("invalid_type", part_path, absl::StrCat(part_path, " must be an object")));
      return "";
    }
    std::optional<ApiError> error;
    JsonFields inner(part, kContentPart, part_path + ".", &error);
    const std::string type = inner.String("type").value_or("");
    if (!error && type != "text") {
      error = Unsupported(part_path + ".type",
                          absl::StrCat(part_path, ".type is \"", type, "\"; this model reads only \"text\""));
    }
    const std::optional<std::string> piece = inner.String("text");
    if (!error && !piece)
      error = BadRequest("missing_field", part_path + ".text", part_path + ".text is missing");
    inner.RefuseOthers();
    if (error) {
      fields.Fail(*std::move(error));
      return "";
    }
    text += *piece;
  }
  return text;
}

ToolCall ReadToolCall(const Json& value, const std::string& path, std::optional<ApiError>& error) {
  ToolCall call;
  if (!value.is_object()) {
    if (!error) error = BadRequest("invalid_type", path, path + " must be an object");
    return call;
  }
  JsonFields fields(value, kToolCall, path + ".", &error);
  call.id = fields.String("id").value_or("");
  call.type = fields.String("type").value_or("function");
  if (const Json* function = fields.Object("function")) {
    JsonFields inner(*function, kToolCallFunction, path + ".function.", &error);
    call.name = inner.String("name").value_or("");
    call.arguments = inner.String("arguments").value_or("");
    inner.RefuseOthers();
  }
  fields.RefuseOthers();
  if (!error && call.name.empty()) {
    error = BadRequest("missing_field", path + ".function.name", path + ".function.name is missing");
  }
  return call;
}

std::optional<ChatRole> RoleNamed(std::string_view name) {
  if (name == "system" || name == "developer") return ChatRole::kSystem;
  if (name == "user") return ChatRole::kUser;
  if (name == "assistant") return ChatRole::kAssistant;
  if (name == "tool") return ChatRole::kTool;
  return std::nullopt;
}

const RequestObject& FieldsOf(std::optional<ChatRole> role) {
  if (role == ChatRole::kAssistant) return kAssistantMessage;
  return role == ChatRole::kTool ? kToolMessage : kMessage;
}

ChatMessage ReadMessage(const Json& value, const std::string& path, std::optional<ApiError>& error) {
  ChatMessage message;
  if (!value.is_object()) {
    error =
        BadRequest("invalid_type", path, absl::StrCat(path, " must be an object, not ", value.type_name()));
    return message;
  }
  const auto named = value.find("role");
  const std::optional<ChatRole> known = named != value.end() && named->is_string()
                                            ? RoleNamed(named->get_ref<const std::string&>())
                                            : std::nullopt;
  JsonFields fields(value, FieldsOf(known), path + ".", &error);
  const std::string role = fields.String("role").value_or("");
  if (!error && !known) {
    error = InvalidValue(
        path + ".role",
        absl::StrCat(path, ".role is \"", role, "\"; it must be system, developer, user, assistant or tool"));
  }
  message.role = known.value_or(ChatRole::kUser);
  message.content = ReadContent(fields);
  if (message.role == ChatRole::kAssistant) {
    message.prefix = fields.Bool("prefix", false);
    fields.String("reasoning_content");
    fields.String("reasoning");
    const Json* calls = fields.Array("tool_calls", kMaxToolCalls);
    for (size_t i = 0; calls != nullptr && i < calls->size() && !error; ++i) {
      message.tool_calls.push_back(
          ReadToolCall((*calls)[i], absl::StrCat(path, ".tool_calls[", i, "]"), error));
    }
  }
  if (message.role == ChatRole::kTool) fields.String("tool_call_id");
  fields.RefuseOthers();
  return message;
}

void ReadTools(JsonFields& fields, std::vector<std::string>& tools) {
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
    tools.push_back(tool["function"].dump());
  }
  if (const Json* choice = fields.Any("tool_choice")) {
    if (*choice == "none") {
      tools.clear();
    } else if (*choice != "auto") {
      fields.Fail(Unsupported("tool_choice", absl::StrCat("tool_choice ", choice->dump(),
                                                          " is not supported: use \"auto\" or \"none\"")));
    }
  }
}

void ReadResponseFormat(JsonFields& fields) {
  const Json* format = fields.Object("response_format");
  if (format == nullptr) return;
  std::optional<ApiError> error;
  JsonFields inner(*format, kResponseFormat, "response_format.", &error);
  const std::string type = inner.String("type").value_or("");
  if (!error && type != "text") {
    error = Unsupported("response_format.type", absl::StrCat("response_format.type \"", type,
                                                             "\" is not supported: only \"text\" is"));
  }
  inner.RefuseOthers();
  if (error) fields.Fail(*std::move(error));
}

void ReadLogprobs(JsonFields& fields, const ServedModel& model, GenerationRequest& request) {
  const bool logprobs = fields.Bool("logprobs", false);
  const int64_t top = fields.Integer("top_logprobs", 0, 0, model.max_logprobs);
  if (fields.Has("top_logprobs") && !logprobs) {
    fields.Fail(BadRequest("invalid_request", "top_logprobs", "top_logprobs needs logprobs: true"));
  }
  if (logprobs) request.request.sampling.top_logprobs = static_cast<int32_t>(top);
}

std::optional<int64_t> ReadMaxTokens(JsonFields& fields, std::string& name) {
  constexpr int64_t kMost = int64_t{1} << 53;
  std::optional<int64_t> asked;
  for (const char* field : {"max_tokens", "max_completion_tokens"}) {
    if (!fields.Has(field)) continue;
    const int64_t value = fields.Integer(field, 1, 1, kMost);
    if (asked && *asked != value) {
      fields.Fail(
          BadRequest("invalid_request", field, "max_tokens and max_completion_tokens contradict each other"));
    }
    asked = value;
    name = field;
  }
  return asked;
}

}  // namespace

ChatPrompt ReadChatPrompt(JsonFields& fields) {
  ChatPrompt prompt;
  const Json* messages = fields.Array("messages", kMaxMessages);
  if (messages == nullptr) {
    fields.Fail(BadRequest("missing_field", "messages", "messages is missing"));
    return prompt;
  }
  std::optional<ApiError> error;
  for (size_t i = 0; i < messages->size() && !error; ++i) {
    prompt.messages.push_back(ReadMessage((*messages)[i], absl::StrCat("messages[", i, "]"), error));
  }
  if (error) fields.Fail(*std::move(error));
  ReadTools(fields, prompt.tools);
  return prompt;
}

std::optional<ApiError> RenderChat(const ChatPrompt& prompt, const ServedModel& model,
                                   GenerationRequest& request) {
  if (!model.chat_template) {
    return BadRequest("no_chat_template", "",
                      "this model's tokenizer has no chat tokens; /v1/completions takes any prompt");
  }
  absl::StatusOr<RenderedChat> chat = model.chat_template->Render(prompt);
  if (!chat.ok()) return BadRequest("invalid_messages", "messages", std::string(chat.status().message()));
  request.prompts.push_back(std::move(chat->ids));
  request.text.chat = model.chat_template->tokens();
  request.text.in_reasoning = chat->in_reasoning;
  request.text.parse_tool_calls = !prompt.tools.empty();
  return std::nullopt;
}

std::variant<GenerationRequest, ApiError> ParseChatRequest(std::string_view body, const ServedModel& model) {
  std::variant<Json, ApiError> parsed = ParseBody(body);
  if (ApiError* error = std::get_if<ApiError>(&parsed)) return *std::move(error);
  std::optional<ApiError> error;
  JsonFields fields(std::get<Json>(parsed), kChatRequest, "", &error);

  GenerationRequest request;
  const ChatPrompt prompt = ReadChatPrompt(fields);
  ReadSharedFields(fields, model, request);
  ReadResponseFormat(fields);
  ReadLogprobs(fields, model, request);
  std::string max_tokens_field = "max_tokens";
  const std::optional<int64_t> max_tokens = ReadMaxTokens(fields, max_tokens_field);
  fields.RefuseOthers();
  if (error) return *std::move(error);

  error = RenderChat(prompt, model, request);
  if (error) return *std::move(error);
  SettleMaxTokens(fields, model, max_tokens, max_tokens_field, -1, request);
  if (error) return *std::move(error);
  return request;
}

}  // namespace deeprack::coordinator
