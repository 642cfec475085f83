// A conversation as the variables of a chat template, named and shaped as transformers and vLLM do.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/chat/chat_prompt.h"
#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator {

// The names of special tokens (bos_token, eos_token, ...), each with the token's text.
using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

// How a template takes the arguments of past tool calls.
enum class CallArguments : uint8_t {
  kObject,  // as an object. Arguments that are no JSON stay a text
  kText,    // as JSON text
};

// The variables messages, tools, documents, add_generation_prompt, the special tokens, and the variables
// of the prompt's template_kwargs. Texts from the conversation are data; roles and special tokens count as
// the template's own. Errors: InvalidArgument for template_kwargs that are no JSON object or name one of the
// other variables, and for tools that are no JSON.
absl::StatusOr<jinja::Dict> ChatVariables(const ChatPrompt& prompt, const SpecialTokens& special_tokens,
                                          CallArguments arguments);

}  // namespace deeprack::coordinator
