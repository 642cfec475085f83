// Asks a server for the log-probabilities of given tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/http/http_client.h"
#include "cli/perplexity/scored_token.h"

namespace deeprack::cli {

// Scores the windows over /v1/completions, with echo and without generated tokens. The result has one list
// for each window: its tokens from position `first` on, each with the `top` likeliest tokens at its position
// (0: none). Errors: those of HttpPost; Internal when the answer does not fit the request.
absl::StatusOr<std::vector<std::vector<ScoredToken>>> ScoreWindows(
    const Url& url, const std::string& model, std::span<const std::vector<TokenId>> windows, int64_t first,
    int32_t top, const Cancelled& cancelled);

// Reads the answer of /v1/completions to ScoreWindows. `lengths` are the numbers of tokens of the windows.
absl::StatusOr<std::vector<std::vector<ScoredToken>>> ParseScores(absl::string_view answer,
                                                                  std::span<const size_t> lengths,
                                                                  int64_t first);

}  // namespace deeprack::cli
