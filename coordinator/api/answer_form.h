// Reads what a request asks of the form of its answer (a JSON schema, a grammar, calls of tools), and makes
// the constraint of its sequences.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/api/api_error.h"
#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"

namespace deeprack::coordinator {

// Asks for content of `spec`. Fails if another field than `field` has asked for content.
void AskForContent(JsonFields& fields, model::ConstraintSpec spec, const std::string& field,
                   AnswerForm& form);

// Reads the field `name`, an object of `kind`, whose `type` is text, json_object or json_schema. The schema
// stands in a member `json_schema`, or (in the Responses API) in the object itself.
void ReadTextFormat(JsonFields& fields, std::string_view name, const RequestObject& kind, AnswerForm& form);

// Reads vLLM's `structured_outputs`.
void ReadStructuredOutputs(JsonFields& fields, AnswerForm& form);

// Reads OpenAI's `tool_choice`. "none" removes the tools from the prompt. Call it after the tools were read.
void ReadToolChoice(JsonFields& fields, std::vector<std::string>& tools, AnswerForm& form);

// Demands a call of `name`, one of `tools`; any of them, if `name` is empty. `field` asks for it.
void RequireCall(JsonFields& fields, const std::string& field, const std::string& name,
                 const std::vector<std::string>& tools, AnswerForm& form);

// Sets the constraint of `request`, whose `text` says how the answer begins. `tools` as in ChatPrompt; none
// of them for a completion. `prefix`: the text of the answer that the prompt ends with. Errors: 400 for
// fields that contradict each other, for a model without markers of tool calls, and for schemas that are not
// supported.
std::optional<ApiError> SettleForm(const AnswerForm& form, const std::vector<std::string>& tools,
                                   const std::string& prefix, GenerationRequest& request);

}  // namespace deeprack::coordinator
