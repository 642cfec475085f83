// Reads the body of /v1/completions as a CompletionRequest. Strict: see JsonFields.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"

namespace deeprack::coordinator {

struct CompletionRequest {
  GenerationRequest generation;
  bool echo = false;  // the answer begins with the prompt, and with its log-probabilities if asked for
  std::vector<std::string> prompt_texts;  // with echo, one for each prompt: the text given, or decoded ids
  std::vector<bool> given_as_text;        // with echo, one for each prompt: the prompt is text, not token ids
};

// Reads `prompt` into `request`. With `add_special_tokens`, a text begins with bos.
void ReadPrompts(JsonFields& fields, bool add_special_tokens, const ServedModel& model,
                 CompletionRequest& request);

// SettleMaxTokens (sampling_fields.h) for several prompts. Errors: also 400 for more than 256 answers.
std::optional<ApiError> SettleCompletion(const ServedModel& model, std::optional<int64_t> max_tokens,
                                         int64_t absent, GenerationRequest& request);

std::variant<CompletionRequest, ApiError> ParseCompletionRequest(std::string_view body,
                                                                 const ServedModel& model);

// The ids of a text. With `parse_special`, special tokens in the text become their ids. With
// `add_special_tokens`, the ids begin with bos, once. Errors: those of Tokenizer::Encode.
absl::StatusOr<std::vector<TokenId>> EncodePrompt(std::string_view text, bool add_special_tokens,
                                                  const ServedModel& model, bool parse_special = true);

// Reads an array of token ids of the model. nullopt: an id is invalid, and `fields` has the error.
std::optional<std::vector<TokenId>> ReadTokenIds(JsonFields& fields, const Json& array,
                                                 const std::string& path, const ServedModel& model);

}  // namespace deeprack::coordinator
