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
  BodyReader reader(body, kMessagesRequest, model.ignore_unknown_fields);
  JsonFields& fields = reader.fields();

  MessagesRequest request;
  GenerationRequest& generation = request.generation;
  ReadModelField(fields, model);
  const ChatPrompt prompt = ReadMessagesPrompt(fields, generation);
  ReadTokenChoice(fields, model, generation.request.sampling);
  ReadStopStrings(fields, "stop_sequences", generation.text.stop);
  generation.request.stop_token_ids = model.eos_token_ids;
  generation.stream = fields.Bool("stream", false);
  if (!fields.Has("max_tokens")) {
    fields.Fail(BadRequest("missing_field", "max_tokens", "max_tokens is missing"));
  }
  const int64_t max_tokens = fields.Integer("max_tokens", 1, 0, std::numeric_limits<int64_t>::max());
  fields.RefuseOthers();
  generation.ignored_fields = reader.ignored();
  if (reader.error()) return *reader.error();

  std::optional<ApiError> error = RenderChat(prompt, model, generation);
  if (!error) error = SettleMaxTokens(model, max_tokens, kNoLimit, generation);
  if (error) return *std::move(error);
  request.cut_to_room = generation.request.max_tokens < max_tokens;
  return request;
}

std::variant<GenerationRequest, ApiError> ParseCountTokensRequest(std::string_view body,
                                                                  const ServedModel& model) {
  BodyReader reader(body, kCountTokensRequest, model.ignore_unknown_fields);
  JsonFields& fields = reader.fields();
  ReadModelField(fields, model);
  GenerationRequest generation;
  const ChatPrompt prompt = ReadMessagesPrompt(fields, generation);
  fields.RefuseOthers();
  generation.ignored_fields = reader.ignored();
  if (reader.error()) return *reader.error();
  if (std::optional<ApiError> error = RenderChat(prompt, model, generation)) return *std::move(error);
  return generation;
}

}  // namespace deeprack::coordinator::anthropic
