// What the measuring commands ask of a server: continuations of given token ids, and a text's ids.
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
  int32_t max_tokens = 0;  // exactly so many are generated: ends of text are not heeded
  std::string cache_salt;  // prompts share the prefix cache only under the same salt; "": the server's own
};

// Streams one greedy continuation over /v1/completions; `on_tokens` is told how many tokens each event
// brought. Errors: those of PostForEvents.
absl::Status StreamCompletion(const Url& url, const CompletionRequest& request,
                              const std::function<void(int64_t)>& on_tokens, const Cancelled& cancelled);

// The text's token ids, over /tokenize, with the model's special tokens (a bos in front) or without. Errors:
// those of HttpPost; Internal when the answer is none.
absl::StatusOr<std::vector<TokenId>> Tokenize(const Url& url, const std::string& model,
                                              absl::string_view text, bool add_special_tokens,
                                              const Cancelled& cancelled);

}  // namespace deeprack::cli
