#include "coordinator/api/api_error.h"

#include <utility>

#include "nlohmann/json.hpp"

namespace deeprack::coordinator {

std::string ApiError::ToJson() const {
  nlohmann::ordered_json error = {{"message", message}, {"type", type}, {"param", nullptr}, {"code", code}};
  if (!param.empty()) error["param"] = param;
  return nlohmann::ordered_json{{"error", std::move(error)}}.dump(
      -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

ApiError InvalidValue(std::string param, std::string message) {
  return {.status = 422, .code = "invalid_value", .message = std::move(message), .param = std::move(param)};
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
