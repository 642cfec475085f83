#include "coordinator/api/anthropic/messages_request.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/anthropic/message_fields.h"
#include "coordinator/api/anthropic/messages_prompt.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator::anthropic {
namespace {

constexpr size_t kMaxStopSequences = 16;
constexpr size_t kMaxStopBytes = 256;
// A smaller top_p leaves only the most likely token, as temperature 0 does.
constexpr double kLeastTopP = 1e-6;

void ReadStopSequences(JsonFields& fields, std::vector<std::string>& stop) {
  const Json* values = fields.Array("stop_sequences", kMaxStopSequences);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i) {
    const Json& value = (*values)[i];
    const std::string path = absl::StrCat("stop_sequences[", i, "]");
    if (!value.is_string()) {
      return fields.Fail(
          BadRequest("invalid_type", path, absl::StrCat(path, " must be a string, not ", value.type_name())));
    }
    const std::string& text = value.get_ref<const std::string&>();
    if (text.empty() || text.size() > kMaxStopBytes) {
      return fields.Fail(InvalidValue(
          path,
          absl::StrCat(path, " has ", text.size(), " bytes; a stop sequence has 1 to ", kMaxStopBytes)));
    }
    stop.push_back(text);
  }
}

void ReadSampling(JsonFields& fields, const ServedModel& model, model::SamplingParams& sampling) {
  sampling.temperature = static_cast<float>(fields.Number("temperature", model.defaults.temperature, 0, 2));
  const double top_p = fields.Number("top_p", model.defaults.top_p, 0, 1);
  if (top_p >= kLeastTopP) {
    sampling.top_p = static_cast<float>(top_p);
  } else {
    sampling.temperature = 0;
  }
  sampling.top_k = static_cast<int32_t>(std::max<int64_t>(
      0, fields.Integer("top_k", model.defaults.top_k, -1, std::numeric_limits<int32_t>::max())));
}

}  // namespace

std::variant<MessagesRequest, ApiError> ParseMessagesRequest(std::string_view body,
                                                             const ServedModel& model) {
  std::variant<Json, ApiError> parsed = ParseBody(body);
  if (ApiError* error = std::get_if<ApiError>(&parsed)) return *std::move(error);
  std::optional<ApiError> error;
  UnknownFields unknown{.ignore = model.ignore_unknown_fields};
  JsonFields fields(std::get<Json>(parsed), kMessagesRequest, "", &error, &unknown);

  MessagesRequest request;
  GenerationRequest& generation = request.generation;
  ReadModelField(fields, model);
  const ChatPrompt prompt = ReadMessagesPrompt(fields, generation.text.one_tool_call);
  ReadSampling(fields, model, generation.request.sampling);
  ReadStopSequences(fields, generation.text.stop);
  generation.request.stop_token_ids = model.eos_token_ids;
  generation.stream = fields.Bool("stream", false);
  if (!fields.Has("max_tokens")) {
    fields.Fail(BadRequest("missing_field", "max_tokens", "max_tokens is missing"));
  }
  const int64_t max_tokens = fields.Integer("max_tokens", 1, 0, std::numeric_limits<int64_t>::max());
  fields.RefuseOthers();
  generation.ignored_fields = unknown.ignored;
  if (error) return *std::move(error);

  error = RenderChat(prompt, model, generation);
  if (error) return *std::move(error);
  SettleMaxTokens(fields, model, max_tokens, kNoLimit, generation);
  if (error) return *std::move(error);
  request.cut_to_room = generation.request.max_tokens < max_tokens;
  return request;
}

std::variant<int64_t, ApiError> CountPromptTokens(std::string_view body, const ServedModel& model) {
  std::variant<Json, ApiError> parsed = ParseBody(body);
  if (ApiError* error = std::get_if<ApiError>(&parsed)) return *std::move(error);
  std::optional<ApiError> error;
  UnknownFields unknown{.ignore = model.ignore_unknown_fields};
  JsonFields fields(std::get<Json>(parsed), kCountTokensRequest, "", &error, &unknown);
  ReadModelField(fields, model);
  bool one_tool_call = false;
  const ChatPrompt prompt = ReadMessagesPrompt(fields, one_tool_call);
  fields.RefuseOthers();
  if (error) return *std::move(error);
  GenerationRequest generation;
  error = RenderChat(prompt, model, generation);
  if (error) return *std::move(error);
  return static_cast<int64_t>(generation.prompts.front().size());
}

}  // namespace deeprack::coordinator::anthropic
