// The body of /v1/completions -> a GenerationRequest. Strict: see JsonFields.
#pragma once

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
  bool echo = false;  // the prompt's text, and log-probabilities if asked for, stand before the answer's
  std::vector<std::string> prompt_texts;  // with echo, one for each prompt: as given, or its ids decoded
};

std::variant<CompletionRequest, ApiError> ParseCompletionRequest(std::string_view body,
                                                                 const ServedModel& model);

// A text prompt's ids: special tokens written in it are honoured, bos is put in front unless it stands there.
absl::StatusOr<std::vector<TokenId>> EncodePrompt(std::string_view text, bool add_special_tokens,
                                                  const ServedModel& model);

// An array of token ids of the model. nullopt after an error (which is noted in `fields`).
std::optional<std::vector<TokenId>> ReadTokenIds(JsonFields& fields, const Json& array,
                                                 const std::string& path, const ServedModel& model);

}  // namespace deeprack::coordinator
