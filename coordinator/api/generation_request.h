// A request for text as both generation endpoints see it: parsed, tokenized, within bounds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/api/sequence_text.h"
#include "coordinator/request/request.h"

namespace deeprack::coordinator {

struct GenerationRequest {
  std::vector<std::vector<TokenId>> prompts;  // one, or several for /v1/completions
  int32_t n = 1;                              // answers for each; choice = prompt * n + answer
  Request request;              // what all sequences share; its prompt and seed are filled in later
  std::optional<int64_t> seed;  // answer i draws with seed + i; absent: each with its own
  TextOptions text;
  bool stream = false;
  bool include_usage = false;
  bool return_token_ids = false;
  bool tokens_as_ids = false;  // in logprobs a token is "token_id:7" instead of its text

  int32_t choices() const { return static_cast<int32_t>(prompts.size()) * n; }
};

}  // namespace deeprack::coordinator
