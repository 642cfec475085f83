// Reads the fields of a Messages request that the prompt is made of.
#pragma once

#include "coordinator/api/json_fields.h"
#include "coordinator/chat/chat_prompt.h"

namespace deeprack::coordinator::anthropic {

// Reads `system`, `messages`, `tools`, `tool_choice`, `thinking`, `output_config` and `context_management`.
// Errors go to `fields`. `one_tool_call` becomes true if the answer may have only one call.
ChatPrompt ReadMessagesPrompt(JsonFields& fields, bool& one_tool_call);

}  // namespace deeprack::coordinator::anthropic
