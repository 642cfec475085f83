// What a client is told when a request fails: OpenAI's error object and an HTTP status.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace deeprack::coordinator {

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string code;             // machine-readable: "unknown_field", "context_length_exceeded", ...
  std::string message;          // what was found, where, and what would do
  std::string param;            // the field's path; empty: null
  int retry_after_seconds = 0;  // > 0: a Retry-After header

  // {"error": {"message", "type", "param", "code"}}
  std::string ToJson() const;
};

// A field of the right type whose value is out of range.
ApiError InvalidValue(std::string param, std::string message);
// A malformed or mistyped field.
ApiError BadRequest(std::string code, std::string param, std::string message);
// A feature that this server does not have, asked for by name.
ApiError Unsupported(std::string param, std::string message);

// An error of the step loop or the tokenizer: InvalidArgument 400, ResourceExhausted 429 with Retry-After,
// Unavailable 503 with Retry-After, Cancelled 503, anything else 500.
ApiError FromStatus(const absl::Status& status);

}  // namespace deeprack::coordinator
