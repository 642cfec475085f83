#include "coordinator/api/cors.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace deeprack::coordinator {
namespace {

bool IsAllowed(const std::vector<std::string>& origins, absl::string_view origin) {
  return !origin.empty() && std::any_of(origins.begin(), origins.end(), [&](const std::string& allowed) {
    return allowed == "*" || allowed == origin;
  });
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseOrigins(absl::string_view text) {
  std::vector<std::string> origins;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const absl::string_view origin = absl::StripAsciiWhitespace(part);
    const size_t scheme = origin.find("://");
    const bool whole = scheme != origin.npos && scheme > 0 && origin.size() > scheme + 3 &&
                       origin.find_first_of("/ \t", scheme + 3) == origin.npos;
    if (origin != "*" && !whole) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", origin, "' is no origin; write https://host, http://host:port or *"));
    }
    origins.emplace_back(origin);
  }
  return origins;
}

std::vector<std::pair<std::string, std::string>> CorsHeaders(const std::vector<std::string>& origins,
                                                             const HttpRequest& request) {
  if (origins.empty()) return {};
  const std::string origin(request.Header("origin"));
  // The answer depends on the origin even where the origin is refused: caches must know.
  if (!IsAllowed(origins, origin)) return {{"Vary", "Origin"}};
  return {{"Access-Control-Allow-Origin", origin},
          {"Access-Control-Expose-Headers", "x-request-id, request-id, retry-after"},
          {"Vary", "Origin"}};
}

std::optional<HttpResponse> AnswerPreflight(const std::vector<std::string>& origins,
                                            const HttpRequest& request) {
  if (request.method != "OPTIONS" || request.Header("access-control-request-method").empty() ||
      !IsAllowed(origins, request.Header("origin"))) {
    return std::nullopt;
  }
  HttpResponse response{.status = 204, .content_type = ""};
  response.headers.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
  // "*" would leave out Authorization, so the headers that the page asks for are repeated.
  const std::string asked(request.Header("access-control-request-headers"));
  response.headers.emplace_back("Access-Control-Allow-Headers",
                                asked.empty() ? "authorization, content-type, x-api-key" : asked);
  response.headers.emplace_back("Access-Control-Max-Age", "600");
  return response;
}

}  // namespace deeprack::coordinator
