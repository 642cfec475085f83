#include <array>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {
namespace {

struct Route {
  absl::string_view path;
  absl::string_view method;  // GET also answers HEAD
  Endpoint endpoint;
};

constexpr std::array<Route, 9> kRoutes = {{
    {"/v1/chat/completions", "POST", ChatCompletions},
    {"/v1/completions", "POST", Completions},
    {"/tokenize", "POST", Tokenize},
    {"/detokenize", "POST", Detokenize},
    {"/v1/models", "GET", Models},
    {"/health", "GET", Health},
    {"/ready", "GET", Ready},
    {"/version", "GET", Version},
    {"/metrics", "GET", Metrics},
}};

constexpr absl::string_view kModelPrefix = "/v1/models/";

void Route404(const HttpRequest& request, HttpExchange& exchange) {
  RespondError(exchange, {.status = 404,
                          .type = "not_found_error",
                          .code = "unknown_route",
                          .message = absl::StrCat("there is no ", request.path)});
}

}  // namespace

HttpHandler MakeRouter(ApiContext* context) {
  return [context](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    const absl::string_view path = absl::StartsWith(request.path, kModelPrefix)
                                       ? kModelPrefix.substr(0, kModelPrefix.size() - 1)
                                       : request.path;
    for (const Route& route : kRoutes) {
      if (route.path != path) continue;
      if (request.method == route.method || (request.method == "HEAD" && route.method == "GET")) {
        return route.endpoint(*context, request, exchange);
      }
      const ApiError error{
          .status = 405,
          .code = "method_not_allowed",
          .message = absl::StrCat(route.path, " takes ", route.method, ", not ", request.method)};
      return exchange->Respond(
          {.status = 405, .body = error.ToJson(), .headers = {{"Allow", std::string(route.method)}}});
    }
    Route404(request, *exchange);
  };
}

std::string HttpErrorBody(int status, const std::string& message) {
  ApiError error{.status = status, .message = message};
  switch (status) {
    case 413:
      error.code = "payload_too_large";
      break;
    case 431:
      error.code = "headers_too_large";
      break;
    case 503:
      error.type = "service_unavailable_error";
      error.code = "too_many_connections";
      break;
    default:
      error.code = "malformed_request";
  }
  return error.ToJson();
}

}  // namespace deeprack::coordinator
