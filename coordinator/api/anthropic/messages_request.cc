#include "coordinator/api/anthropic/messages_request.h"

#include <limits>
#include <optional>
#include <utility>

#include "coordinator/api/anthropic/message_fields.h"
#include "coordinator/api/anthropic/messages_prompt.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/sampling_fields.h"

namespace deeprack::coordinator::anthropic {
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
  ReadTokenChoice(fields, model, generation.request.sampling);
  ReadStopStrings(fields, "stop_sequences", generation.text.stop);
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
  error = SettleMaxTokens(model, max_tokens, kNoLimit, generation);
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
