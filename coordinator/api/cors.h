// Cross-origin requests: the headers by which a browser lets a page of another origin use this server.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

// Reads "https://a.example,http://localhost:3000" or "*". Errors: InvalidArgument with the part that is no
// origin.
absl::StatusOr<std::vector<std::string>> ParseOrigins(absl::string_view text);

// The headers that the answer to `request` needs. `origins` lists the allowed origins ("https://host:port"),
// or is {"*"} for all; empty: no page of another origin may use the server, and there are no headers.
std::vector<std::pair<std::string, std::string>> CorsHeaders(const std::vector<std::string>& origins,
                                                             const HttpRequest& request);

// The answer to a preflight: an OPTIONS request by which a browser asks whether a request is allowed.
// Nullopt: `request` is none, or its origin is not allowed.
std::optional<HttpResponse> AnswerPreflight(const std::vector<std::string>& origins,
                                            const HttpRequest& request);

}  // namespace deeprack::coordinator
