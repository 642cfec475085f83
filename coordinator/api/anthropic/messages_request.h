// Reads the bodies of /v1/messages and /v1/messages/count_tokens.
#pragma once

#include <string_view>
#include <variant>

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"

namespace deeprack::coordinator::anthropic {

struct MessagesRequest {
  GenerationRequest generation;
  bool cut_to_room = false;  // the context has no room for the max_tokens that the client asked for
};

std::variant<MessagesRequest, ApiError> ParseMessagesRequest(std::string_view body, const ServedModel& model);

// A request with the one prompt that /v1/messages would make of the same fields.
std::variant<GenerationRequest, ApiError> ParseCountTokensRequest(std::string_view body,
                                                                  const ServedModel& model);

}  // namespace deeprack::coordinator::anthropic
