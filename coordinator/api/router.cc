#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/request_path.h"
#include "coordinator/api/routes.h"
#include "spdlog/spdlog.h"

namespace deeprack::coordinator {
namespace {

void RefusePath(const RouteMatch& match, const HttpRequest& request, HttpExchange& exchange) {
  ApiError error{.status = 404, .type = "not_found_error"};
  if (match.known_elsewhere) {
    error.code = "unsupported_endpoint";
    error.message = absl::StrCat("deeprack does not have ", request.path, "; it serves ", ServedPaths());
  } else {
    error.code = "unknown_route";
    error.message = absl::StrCat("there is no ", request.path);
  }
  RespondError(exchange, error, match.errors);
}

void RefuseMethod(const RouteMatch& match, const HttpRequest& request, HttpExchange& exchange) {
  const std::string allowed = absl::StrJoin(match.methods, ", ");
  HttpResponse response =
      ErrorResponse({.status = 405,
                     .code = "method_not_allowed",
                     .message = absl::StrCat(request.path, " takes ", allowed, ", not ", request.method)},
                    match.errors);
  response.headers.emplace_back("Allow", allowed);
  exchange.Respond(std::move(response));
}

void ReadAndAnswer(ApiContext& context, BodyEndpoint endpoint, ApiRequest request,
                   const std::shared_ptr<HttpExchange>& exchange) {
  if (request.body().size() <= kMaxInlineBodyBytes) return endpoint(context, request, exchange)();
  const size_t bytes = request.body().size();
  const ErrorShape errors = request.errors;
  auto read = [&context, endpoint, exchange, request = std::move(request)] {
    if (exchange->gone()) return;
    std::function<void()> answer;
    try {
      answer = endpoint(context, request, exchange);
    } catch (const std::exception&
                 error) {  // out of memory, or a bug: this request's fault ends this request alone
      spdlog::error("a request body of {} bytes could not be read: {}", request.body().size(), error.what());
      answer = [exchange, errors = request.errors] {
        RespondError(*exchange, FromStatus(absl::InternalError("the request could not be read")), errors);
      };
    }
    exchange->Post([exchange, answer = std::move(answer)] {
      if (!exchange->gone()) answer();
    });
  };
  if (exchange->RunAside(bytes, std::move(read))) return;
  context.metrics().ObserveDropped(DropReason::kBodiesFull);
  RespondError(*exchange,
               FromStatus(absl::ResourceExhaustedError(
                   "too many large request bodies are waiting to be read; try again later")),
               errors);
}

}  // namespace

HttpHandler MakeRouter(ApiContext* context) {
  return [context](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    const std::optional<std::vector<std::string>> segments = PathSegments(request.path);
    if (!segments) {
      return RespondError(
          *exchange,
          BadRequest("malformed_request", "",
                     "the path has a % without two hexadecimal digits, or bytes that are no text"));
    }
    RouteMatch match = FindRoute(request.method, *segments);
    if (match.methods.empty()) return RefusePath(match, request, *exchange);
    if (match.route == nullptr) return RefuseMethod(match, request, *exchange);
    const Route& route = *match.route;
    ApiRequest found{.http = std::move(request), .id = std::move(match.id), .errors = match.errors};
    if (route.direct != nullptr) return route.direct(*context, found, exchange);
    ReadAndAnswer(*context, route.read, std::move(found), exchange);
  };
}

std::string HttpErrorBody(const HttpRefusal& refusal) {
  ApiError error{.status = refusal.status, .message = refusal.message};
  switch (refusal.status) {
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
  const std::optional<std::vector<std::string>> segments = PathSegments(refusal.path);
  return error.ToJson(segments ? FindRoute("POST", *segments).errors : ErrorShape::kOpenAi);
}

}  // namespace deeprack::coordinator
