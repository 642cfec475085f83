// Reads the fields of a Messages request that the prompt is made of.
#pragma once

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/chat/chat_prompt.h"

namespace deeprack::coordinator::anthropic {

// Reads `system`, `messages`, `tools`, `tool_choice`, `thinking`, `output_config` and `context_management`.
// Errors go to `fields`. `tool_choice` also sets request.form, and text.one_tool_call.
ChatPrompt ReadMessagesPrompt(JsonFields& fields, GenerationRequest& request);

}  // namespace deeprack::coordinator::anthropic
