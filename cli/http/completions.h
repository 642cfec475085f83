// Requests of the measuring commands: continuations of given token ids, and the token ids of a text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "cli/http/http_client.h"

namespace deeprack::cli {

struct CompletionRequest {
  std::string model;
  std::vector<TokenId> prompt;
  int32_t max_tokens = 0;  // exactly this number is generated, also beyond an end of text
  std::string cache_salt;  // prompts share the prefix cache only under one salt; "": without a salt
};

// What became of the drafts of an answer (speculation). Both 0: the server made none, or says nothing of
// them.
struct DraftCounts {
  int64_t accepted = 0;
  int64_t rejected = 0;
};

// Streams one greedy continuation over /v1/completions; `on_tokens` gets the number of tokens of
// each event. Errors: those of PostForEvents.
absl::StatusOr<DraftCounts> StreamCompletion(const Url& url, const CompletionRequest& request,
                                             const std::function<void(int64_t)>& on_tokens,
                                             const Cancelled& cancelled);

// The text's token ids, over /tokenize, with the model's special tokens (a bos in front) or without. Errors:
// those of HttpPost; Internal when the answer holds no token ids.
absl::StatusOr<std::vector<TokenId>> Tokenize(const Url& url, const std::string& model,
                                              absl::string_view text, bool add_special_tokens,
                                              const Cancelled& cancelled);

}  // namespace deeprack::cli
