#include "coordinator/api/responses/responses_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_form.h"
#include "coordinator/api/chat_fields.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/responses/conversation_chat.h"
#include "coordinator/api/responses/responses_fields.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator {
namespace {

constexpr size_t kMaxTools = 128;
constexpr size_t kMaxMetadata = 16;
constexpr size_t kMaxMetadataKeyBytes = 64;
constexpr size_t kMaxMetadataValueBytes = 512 * 4;  // 512 characters
constexpr size_t kMaxIncludes = 16;
constexpr int64_t kMostTokens = int64_t{1} << 53;

constexpr char kIncludeLogprobs[] = "message.output_text.logprobs";

// What `include` may ask for besides log-probabilities: parts of items that this server never makes, and
// reasoning.encrypted_content, which asks for a thought that a client can send back: items have it in
// `content`.
constexpr std::array<const char*, 7> kOtherIncludes = {
    "reasoning.encrypted_content",   "file_search_call.results",
    "web_search_call.results",       "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url",
    "code_interpreter_call.outputs"};

// The request's value of a field, or null.
Json ValueOf(JsonFields& fields, std::string_view name) {
  const Json* value = fields.Any(name);
  return value == nullptr ? Json() : *value;
}

Json ReadText(JsonFields& fields, AnswerForm& form) {
  Json echo = {{"format", {{"type", "text"}}}, {"verbosity", "medium"}};
  const Json* text = fields.Object("text");
  if (text == nullptr) return echo;
  JsonFields options(*text, kTextOptions, "text.", fields);
  if (const std::optional<std::string> verbosity = options.String("verbosity"))
    echo["verbosity"] = *verbosity;
  ReadTextFormat(options, "format", kTextFormat, form);
  if (options.Has("format")) echo["format"] = ValueOf(options, "format");
  options.RefuseOthers();
  return echo;
}

Json ReadTool(JsonFields& request, const Json& value, const std::string& path, ChatPrompt& prompt,
              AnswerForm& form) {
  if (!request.IsObject(value, path)) return {};
  const Json type = value.value("type", Json());
  if (type != "function") {
    request.Fail(Unsupported(
        path + ".type", absl::StrCat(path, ".type is ", type.dump(),
                                     "; this server has no tools of its own: only \"function\" tools, which "
                                     "the client runs, are supported")));
    return {};
  }
  JsonFields fields(value, kFunctionTool, path + ".", request);
  fields.String("type");
  const std::string name = fields.String("name").value_or("");
  if (name.empty()) fields.Fail(BadRequest("missing_field", path + ".name", path + ".name is missing"));
  fields.String("description");
  fields.Object("parameters");
  const bool strict = fields.Bool("strict", false);
  fields.RefuseOthers();

  Json function = {{"name", name}};
  for (const char* field : {"description", "parameters"}) {
    if (fields.Has(field)) function[field] = value.at(field);
  }
  if (strict) form.strict_tools.push_back(name);
  prompt.tools.push_back(function.dump());
  return {{"type", "function"},
          {"name", name},
          {"description", ValueOf(fields, "description")},
          {"parameters", ValueOf(fields, "parameters")},
          {"strict", strict}};
}

Json ReadTools(JsonFields& fields, ChatPrompt& prompt, AnswerForm& form) {
  Json echo = Json::array();
  const Json* values = fields.Array("tools", kMaxTools);
  for (size_t i = 0; values != nullptr && i < values->size() && !fields.failed(); ++i) {
    echo.push_back(ReadTool(fields, (*values)[i], absl::StrCat("tools[", i, "]"), prompt, form));
  }
  return echo;
}

Json ReadReasoningOptions(JsonFields& fields, ChatPrompt& prompt) {
  Json echo = {{"effort", nullptr}, {"summary", nullptr}};
  const Json* reasoning = fields.Object("reasoning");
  if (reasoning == nullptr) return echo;
  JsonFields inner(*reasoning, kReasoningOptions, "reasoning.", fields);
  Json variables = Json::object();
  ReadReasoningEffort(inner, "effort", variables);
  echo["effort"] = ValueOf(inner, "effort");
  prompt.template_kwargs = variables.dump();
  for (const char* field : {"summary", "generate_summary"}) {
    if (const std::optional<std::string> summary = inner.String(field)) echo["summary"] = *summary;
  }
  inner.RefuseOthers();
  return echo;
}

void ReadInclude(JsonFields& fields, const ServedModel& model, ResponsesRequest& request) {
  const Json* values = fields.Array("include", kMaxIncludes);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i) {
    const Json& value = (*values)[i];
    const bool known =
        value.is_string() && std::find(kOtherIncludes.begin(), kOtherIncludes.end(),
                                       value.get_ref<const std::string&>()) != kOtherIncludes.end();
    if (value == kIncludeLogprobs) {
      request.logprobs = true;
    } else if (!known) {
      const std::string path = absl::StrCat("include[", i, "]");
      return fields.Fail(Unsupported(
          path, absl::StrCat(path, " is ", value.dump(), ", which is nothing that a response can include")));
    }
  }
  const int64_t top = fields.Integer("top_logprobs", 0, 0, model.max_logprobs);
  if (top > 0 && !request.logprobs) {
    fields.Fail(BadRequest("invalid_request", "top_logprobs",
                           absl::StrCat("top_logprobs needs include: [\"", kIncludeLogprobs, "\"]")));
  }
  if (request.logprobs) request.generation.request.sampling.top_logprobs = static_cast<int32_t>(top);
}

Json ReadMetadata(JsonFields& fields) {
  const Json* metadata = fields.Object("metadata");
  if (metadata == nullptr) return Json::object();
  if (metadata->size() > kMaxMetadata) {
    fields.Fail(InvalidValue("metadata", absl::StrCat("metadata has ", metadata->size(), " entries; at most ",
                                                      kMaxMetadata, " are accepted")));
  }
  for (const auto& [key, value] : metadata->items()) {
    if (key.size() > kMaxMetadataKeyBytes || !value.is_string() ||
        value.get_ref<const std::string&>().size() > kMaxMetadataValueBytes) {
      fields.Fail(InvalidValue(
          "metadata", absl::StrCat("metadata has keys of at most ", kMaxMetadataKeyBytes,
                                   " bytes and texts of at most ", kMaxMetadataValueBytes, " bytes")));
      break;
    }
  }
  return *metadata;
}

void ReadConversation(JsonFields& fields, const ResponsesContext& context, ResponsesRequest& request) {
  if (const std::optional<std::string> id = fields.String("previous_response_id")) {
    const std::shared_ptr<const StoredResponse> previous = context.store.Find(context.owner, *id);
    if (previous == nullptr) {
      return fields.Fail(BadRequest(
          "previous_response_not_found", "previous_response_id",
          absl::StrCat("Previous response with id '", *id, "' not found. ",
                       context.store.enabled() ? "The server keeps responses in memory, and drops the oldest."
                                               : "This server stores no responses (--stored-responses 0).")));
    }
    request.conversation = previous->input;
    request.conversation.insert(request.conversation.end(), previous->output.begin(), previous->output.end());
  }
  const ItemSource source = {.make_id = context.make_id, .find = [&context](std::string_view id) {
                               return context.store.FindItem(context.owner, id);
                             }};
  ReadInput(fields, source, request.conversation);
}

}  // namespace

std::variant<ResponsesRequest, ApiError> ReadResponsesRequest(std::string_view body,
                                                              const ResponsesContext& context) {
  const ServedModel& model = context.model;
  BodyReader reader(body, kResponsesRequest, model.ignore_unknown_fields);
  JsonFields& fields = reader.fields();

  ResponsesRequest request;
  ReadSharedFields(fields, model, request.generation);
  ReadConversation(fields, context, request);
  request.instructions = fields.String("instructions").value_or("");
  request.store = fields.Bool("store", true) && context.store.enabled();
  request.max_output_tokens = ReadMaxTokens(fields, "max_output_tokens", 1);
  request.generation.text.one_tool_call = !fields.Bool("parallel_tool_calls", true);
  ReadInclude(fields, model, request);
  const model::SamplingParams& sampling = request.generation.request.sampling;

  Json& echo = request.echo;
  echo["instructions"] = ValueOf(fields, "instructions");
  echo["max_output_tokens"] = ValueOf(fields, "max_output_tokens");
  fields.Integer("max_tool_calls", 1, 0, kMostTokens);
  echo["max_tool_calls"] = ValueOf(fields, "max_tool_calls");
  echo["metadata"] = ReadMetadata(fields);
  echo["tools"] = ReadTools(fields, request.prompt, request.generation.form);
  ReadToolChoice(fields, request.prompt.tools, request.generation.form);
  echo["tool_choice"] = fields.Has("tool_choice") ? ValueOf(fields, "tool_choice") : Json("auto");
  echo["parallel_tool_calls"] = !request.generation.text.one_tool_call;
  echo["previous_response_id"] = ValueOf(fields, "previous_response_id");
  echo["reasoning"] = ReadReasoningOptions(fields, request.prompt);
  echo["text"] = ReadText(fields, request.generation.form);
  echo["temperature"] =
      fields.Has("temperature") ? ValueOf(fields, "temperature") : DecimalJson(sampling.temperature);
  echo["top_p"] = fields.Has("top_p") ? ValueOf(fields, "top_p") : DecimalJson(sampling.top_p);
  echo["top_logprobs"] = std::max(sampling.top_logprobs, 0);
  echo["truncation"] = "disabled";
  echo["background"] = false;
  echo["store"] = request.store;
  fields.String("service_tier");
  echo["service_tier"] = "default";
  for (const char* label : {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}) {
    fields.String(label);
    echo[label] = ValueOf(fields, label);
  }
  fields.Object("prompt_cache_options");
  fields.RefuseOthers();
  request.generation.ignored_fields = reader.ignored();
  if (reader.error()) return *reader.error();
  return request;
}

std::optional<ApiError> RenderConversation(const ServedModel& model, ResponsesRequest& request) {
  std::variant<std::vector<ChatMessage>, ApiError> messages = ChatMessagesOf(request.conversation);
  if (ApiError* error = std::get_if<ApiError>(&messages)) return *std::move(error);
  if (!request.instructions.empty()) {
    request.prompt.messages.push_back({.role = ChatRole::kSystem, .content = request.instructions});
  }
  for (ChatMessage& message : std::get<std::vector<ChatMessage>>(messages)) {
    request.prompt.messages.push_back(std::move(message));
  }
  std::optional<ApiError> error = RenderChat(request.prompt, model, request.generation);
  if (error && error->param == "messages") error->param = "input";
  return error;
}

std::optional<ApiError> MakePrompt(const ServedModel& model, ResponsesRequest& request) {
  if (std::optional<ApiError> error = RenderConversation(model, request)) return error;
  return SettleMaxTokens(model, request.max_output_tokens, kNoLimit, request.generation);
}

size_t ConversationBytes(const Conversation& conversation) {
  size_t bytes = 0;
  for (const auto& item : conversation) bytes += item->json.size();
  return bytes;
}

}  // namespace deeprack::coordinator
