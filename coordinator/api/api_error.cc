#include "coordinator/api/api_error.h"

#include <utility>

#include "nlohmann/json.hpp"

namespace deeprack::coordinator {

namespace {

using Json = nlohmann::ordered_json;

const char* AnthropicType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

std::string ApiError::ToJson(ErrorShape shape, absl::string_view request_id) const {
  Json body;
  if (shape == ErrorShape::kAnthropic) {
    body = {{"type", "error"}, {"error", {{"type", AnthropicType(status)}, {"message", message}}}};
    if (!request_id.empty()) body["request_id"] = std::string(request_id);
  } else {
    Json error = {{"message", message}, {"type", type}, {"param", nullptr}, {"code", code}};
    if (!param.empty()) error["param"] = param;
    body = {{"error", std::move(error)}};
  }
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ApiError InvalidValue(std::string param, std::string message) {
  return {.status = 400, .code = "invalid_value", .message = std::move(message), .param = std::move(param)};
}

ApiError BadRequest(std::string code, std::string param, std::string message) {
  return {.status = 400, .code = std::move(code), .message = std::move(message), .param = std::move(param)};
}

ApiError Unsupported(std::string param, std::string message) {
  return BadRequest("unsupported_value", std::move(param), std::move(message));
}

ApiError FromStatus(const absl::Status& status) {
  ApiError error{.message = std::string(status.message())};
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      error.code = "invalid_request";
      break;
    case absl::StatusCode::kResourceExhausted:
      error.status = 429;
      error.type = "rate_limit_error";
      error.code = "queue_full";
      error.retry_after_seconds = 1;
      break;
    case absl::StatusCode::kUnavailable:
      error.retry_after_seconds = 5;  // the model is loading, or ranks are lost
      [[fallthrough]];
    case absl::StatusCode::kCancelled:
      error.status = 503;
      error.type = "service_unavailable_error";
      error.code = "not_ready";
      break;
    default:
      error.status = 500;
      error.type = "server_error";
      error.code = "internal_error";
  }
  return error;
}

}  // namespace deeprack::coordinator
