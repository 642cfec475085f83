// Turns the items of a conversation into the messages that a chat template takes.
#pragma once

#include <variant>
#include <vector>

#include "coordinator/api/api_error.h"
#include "coordinator/api/responses/response_store.h"
#include "coordinator/chat/chat_prompt.h"

namespace deeprack::coordinator {

// A thought, a text and tool calls that follow each other become one assistant message. Errors: 400 if a
// function_call_output answers a call that the conversation does not have.
std::variant<std::vector<ChatMessage>, ApiError> ChatMessagesOf(const Conversation& conversation);

}  // namespace deeprack::coordinator
