// The answers to /v1/messages: whole, and as a stream. Each listens to a generation of one choice.
#pragma once

#include <memory>
#include <string>

#include "coordinator/api/anthropic/messages_request.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator::anthropic {

// Answers with one message object when the generation has finished.
std::unique_ptr<GenerationListener> MakeWholeMessage(ApiContext* context, const MessagesRequest& request,
                                                     std::shared_ptr<HttpExchange> exchange);

// Sends message_start, the events of each content block, message_delta and message_stop. The caller starts
// the stream after the sequence is submitted.
std::unique_ptr<GenerationListener> MakeStreamedMessage(ApiContext* context, const MessagesRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange);

// The input of a tool_use block. Arguments that are no JSON object become {"INVALID_JSON": arguments}, the
// form that Anthropic's clients know. No arguments are {}.
Json ToolInput(const std::string& arguments);

}  // namespace deeprack::coordinator::anthropic
