#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/endpoints.h"
#include "spdlog/spdlog.h"

namespace deeprack::coordinator {
namespace {

struct Route {
  absl::string_view path;
  PostEndpoint post = nullptr;
  GetEndpoint get = nullptr;  // also answers HEAD

  absl::string_view method() const { return post != nullptr ? "POST" : "GET"; }
};

constexpr std::array<Route, 9> kRoutes = {{
    {.path = "/v1/chat/completions", .post = ChatCompletions},
    {.path = "/v1/completions", .post = Completions},
    {.path = "/tokenize", .post = Tokenize},
    {.path = "/detokenize", .post = Detokenize},
    {.path = "/v1/models", .get = Models},
    {.path = "/health", .get = Health},
    {.path = "/ready", .get = Ready},
    {.path = "/version", .get = Version},
    {.path = "/metrics", .get = Metrics},
}};

constexpr absl::string_view kModelPrefix = "/v1/models/";

void Route404(const HttpRequest& request, HttpExchange& exchange) {
  RespondError(exchange, {.status = 404,
                          .type = "not_found_error",
                          .code = "unknown_route",
                          .message = absl::StrCat("there is no ", request.path)});
}

void AnswerPost(ApiContext& context, PostEndpoint endpoint, std::string body,
                const std::shared_ptr<HttpExchange>& exchange) {
  if (body.size() <= kMaxInlineBodyBytes) return endpoint(context, body, exchange)();
  const size_t bytes = body.size();
  auto read = [&context, endpoint, exchange, body = std::move(body)] {
    if (exchange->gone()) return;
    std::function<void()> answer;
    try {
      answer = endpoint(context, body, exchange);
    } catch (const std::exception&
                 error) {  // out of memory, or a bug: this request's fault ends this request alone
      spdlog::error("a request body of {} bytes could not be read: {}", body.size(), error.what());
      answer = [exchange] {
        RespondError(*exchange, FromStatus(absl::InternalError("the request could not be read")));
      };
    }
    exchange->Post([exchange, answer = std::move(answer)] {
      if (!exchange->gone()) answer();
    });
  };
  if (exchange->RunAside(bytes, std::move(read))) return;
  context.metrics().ObserveDropped(DropReason::kBodiesFull);
  RespondError(*exchange, FromStatus(absl::ResourceExhaustedError(
                              "too many large request bodies are waiting to be read; try again later")));
}

}  // namespace

HttpHandler MakeRouter(ApiContext* context) {
  return [context](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    const absl::string_view path = absl::StartsWith(request.path, kModelPrefix)
                                       ? kModelPrefix.substr(0, kModelPrefix.size() - 1)
                                       : request.path;
    for (const Route& route : kRoutes) {
      if (route.path != path) continue;
      if (route.post != nullptr && request.method == "POST") {
        return AnswerPost(*context, route.post, std::move(request.body), exchange);
      }
      if (route.get != nullptr && (request.method == "GET" || request.method == "HEAD")) {
        return route.get(*context, request, exchange);
      }
      const ApiError error{
          .status = 405,
          .code = "method_not_allowed",
          .message = absl::StrCat(route.path, " takes ", route.method(), ", not ", request.method)};
      return exchange->Respond(
          {.status = 405, .body = error.ToJson(), .headers = {{"Allow", std::string(route.method())}}});
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
