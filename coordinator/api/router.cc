#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/access/credentials.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/read_aside.h"
#include "coordinator/api/request_body.h"
#include "coordinator/api/request_path.h"
#include "coordinator/api/routes.h"

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
                    match.errors, request.id);
  response.headers.emplace_back("Allow", allowed);
  exchange.Respond(std::move(response));
}

bool NeedsKey(const Route& route, const RouterOptions& options) {
  if (options.keys == nullptr) return false;
  return route.key == KeyNeed::kAlways || (route.key == KeyNeed::kBySetting && options.metrics_need_key);
}

// The caller whose key the headers have. nullopt: no valid key.
std::optional<Caller> CallerOf(const HttpRequest& request, const KeyRing& keys, absl::Time now) {
  return keys.Find(KeyOfHeaders(request.Header("authorization"), request.Header("x-api-key")), now);
}

HttpResponse RefusalOfCaller(const HttpRequest& request, ErrorShape errors) {
  const absl::string_view key = KeyOfHeaders(request.Header("authorization"), request.Header("x-api-key"));
  const char* message = key.empty()
                            ? "this server needs an API key; send it as \"Authorization: Bearer KEY\" or "
                              "\"x-api-key: KEY\""
                            : "the API key is not one of this server's keys, or it has expired";
  HttpResponse response =
      ErrorResponse({.status = 401, .code = "invalid_api_key", .message = message}, errors, request.id);
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

// Decodes and reads the body. Returns what answers.
std::function<void()> ReadBody(ApiContext& context, BodyEndpoint endpoint, size_t max_body_bytes,
                               ApiRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
  if (IsCompressed(request.http)) {
    if (const std::optional<ApiError> error = DecodeBody(request.http, max_body_bytes)) {
      return [exchange, error = *error, errors = request.errors] { RespondError(*exchange, error, errors); };
    }
  }
  return endpoint(context, request, exchange);
}

void ReadAndAnswer(ApiContext& context, BodyEndpoint endpoint, size_t max_body_bytes, ApiRequest request,
                   const std::shared_ptr<HttpExchange>& exchange) {
  const ErrorShape errors = request.errors;
  if (const std::optional<ApiError> error = FaultOfBodyHeaders(request.http)) {
    return RespondError(*exchange, *error, errors);
  }
  const size_t bytes =
      IsCompressed(request.http) ? MostDecodedBytes(request.http, max_body_bytes) : request.body().size();
  if (bytes <= kMaxInlineBodyBytes) {
    return ReadBody(context, endpoint, max_body_bytes, request, exchange)();
  }
  ReadAside(context, exchange, errors, bytes, "large request bodies",
            [&context, endpoint, max_body_bytes, exchange, request = std::move(request)]() mutable {
              return ReadBody(context, endpoint, max_body_bytes, request, exchange);
            });
}

}  // namespace

HttpHandler MakeRouter(ApiContext* context, RouterOptions options) {
  return [context, options](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
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
    if (NeedsKey(route, options)) {
      std::optional<Caller> caller = CallerOf(found.http, *options.keys, context->clock().Now());
      if (!caller) return exchange->Respond(RefusalOfCaller(found.http, found.errors));
      found.caller = *std::move(caller);
    }
    if (route.generates && context->readiness().draining()) {
      const ApiError error = FromStatus(
          absl::UnavailableError("the server is stopping and takes no new requests; try another one"));
      return RespondError(*exchange, error, found.errors);
    }
    if (route.direct != nullptr) return route.direct(*context, found, exchange);
    ReadAndAnswer(*context, route.read, options.max_body_bytes, std::move(found), exchange);
  };
}

HttpGate MakeKeyGate(ApiContext* context, RouterOptions options) {
  return [context, options](const HttpRequest& request) -> std::optional<HttpResponse> {
    const std::optional<std::vector<std::string>> segments = PathSegments(request.path);
    if (!segments) return std::nullopt;  // the router refuses the path
    const RouteMatch match = FindRoute(request.method, *segments);
    if (match.route == nullptr || !NeedsKey(*match.route, options)) return std::nullopt;
    if (CallerOf(request, *options.keys, context->clock().Now())) return std::nullopt;
    return RefusalOfCaller(request, match.errors);
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
  return error.ToJson(segments ? FindRoute("POST", *segments).errors : ErrorShape::kOpenAi, refusal.id);
}

}  // namespace deeprack::coordinator
