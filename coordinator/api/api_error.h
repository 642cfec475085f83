// The error that a client receives: an HTTP status and an error object.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace deeprack::coordinator {

// Whose error object an answer has.
enum class ErrorShape : uint8_t {
  kOpenAi,  // {"error": {"message", "type", "param", "code"}}
  // {"type": "error", "error": {"type", "message"}, "request_id"}; the type follows from the status
  kAnthropic,
};

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string code;             // for programs: "unknown_field", "context_length_exceeded", ...
  std::string message;          // for people: the value found, its place, and values that are accepted
  std::string param;            // the field's path; empty: null
  int retry_after_seconds = 0;  // > 0: a Retry-After header

  // `request_id`: the id of the request that failed, for shapes that have it; empty: left out.
  std::string ToJson(ErrorShape shape = ErrorShape::kOpenAi, absl::string_view request_id = {}) const;
};

// 400: a field has the right type and a value out of range.
ApiError InvalidValue(std::string param, std::string message);
// 400: a field is malformed or has the wrong type.
ApiError BadRequest(std::string code, std::string param, std::string message);
// 400: the request asks for a feature that this server does not have.
ApiError Unsupported(std::string param, std::string message);

// The error for a status of the step loop or the tokenizer: 400 for InvalidArgument, 429 with Retry-After for
// ResourceExhausted, 503 with Retry-After for Unavailable, 503 for Cancelled, 500 for all others.
ApiError FromStatus(const absl::Status& status);

}  // namespace deeprack::coordinator
