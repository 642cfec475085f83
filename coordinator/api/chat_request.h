// Reads the body of /v1/chat/completions. Strict: see JsonFields.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"
#include "coordinator/chat/chat_prompt.h"

namespace deeprack::coordinator {

// Reads `messages`, `tools`, `tool_choice` and the fields that set the template's variables or the prompt's
// end; `tool_choice` also into `form`. Errors go to `fields`.
ChatPrompt ReadChatPrompt(JsonFields& fields, AnswerForm& form);

// Renders `prompt` as the one prompt of `request`, and sets how the answer's text is read and the constraint
// that request.form asks for. Errors: 400 if the model has no chat template or the template refuses the
// messages; those of SettleForm.
std::optional<ApiError> RenderChat(const ChatPrompt& prompt, const ServedModel& model,
                                   GenerationRequest& request);

// The text whose tokens RenderChat makes. Errors: as RenderChat.
std::variant<std::string, ApiError> RenderChatText(const ChatPrompt& prompt, const ServedModel& model);

// A body of /v1/chat/completions that is read and checked, but whose prompt is not rendered.
struct UnrenderedChat {
  GenerationRequest request;  // without prompts
  ChatPrompt prompt;
  std::optional<int64_t> max_tokens;  // absent: the request names no limit
};

std::variant<UnrenderedChat, ApiError> ReadChatRequest(std::string_view body, const ServedModel& model);

// ReadChatRequest, with the prompt rendered and the limit of the answer settled.
std::variant<GenerationRequest, ApiError> ParseChatRequest(std::string_view body, const ServedModel& model);

}  // namespace deeprack::coordinator
