// Reads the body of /v1/responses as a GenerationRequest and the conversation that its prompt is made of.
// Strict: see JsonFields.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/responses/input_items.h"
#include "coordinator/api/responses/response_store.h"
#include "coordinator/api/served_model.h"
#include "coordinator/chat/chat_prompt.h"

namespace deeprack::coordinator {

struct ResponsesRequest {
  GenerationRequest generation;
  Conversation conversation;  // the items of earlier responses, then the items of the input
  ChatPrompt prompt;          // without messages until RenderConversation
  std::string instructions;   // empty: none
  std::optional<int64_t> max_output_tokens;
  bool store = true;
  bool logprobs = false;  // the answer has the log-probabilities of its texts
  Json echo;              // the fields of the response object that repeat the request
};

// What a request is read against. All outlive the call.
struct ResponsesContext {
  const ServedModel& model;
  ResponseStore& store;
  std::string owner;  // of the stored responses that the request may name
  std::function<std::string(const std::string& prefix)> make_id;
};

// Reads the body, and takes the conversation that previous_response_id names from the store.
std::variant<ResponsesRequest, ApiError> ReadResponsesRequest(std::string_view body,
                                                              const ResponsesContext& context);

// Renders the conversation as the request's one prompt. Takes long for a long conversation.
std::optional<ApiError> RenderConversation(const ServedModel& model, ResponsesRequest& request);

// RenderConversation, and settles what depends on the prompt's length.
std::optional<ApiError> MakePrompt(const ServedModel& model, ResponsesRequest& request);

// The bytes of the conversation's items.
size_t ConversationBytes(const Conversation& conversation);

}  // namespace deeprack::coordinator
