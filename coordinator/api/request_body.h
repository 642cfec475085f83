// The body of a request, before an endpoint reads it: its type and its compression.
#pragma once

#include <cstddef>
#include <optional>

#include "coordinator/api/api_error.h"
#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

// The fault of Content-Type or Content-Encoding: 415 for a type other than JSON and for an encoding other
// than gzip. A request without a body, or without a type, is accepted.
std::optional<ApiError> FaultOfBodyHeaders(const HttpRequest& request);

bool IsCompressed(const HttpRequest& request);

// The most bytes that the body can have once it is decoded. `limit`: the most that a body may have.
size_t MostDecodedBytes(const HttpRequest& request, size_t limit);

// Decodes a compressed body in place. Errors: 413 beyond `limit` bytes, 400 for data that is not gzip.
std::optional<ApiError> DecodeBody(HttpRequest& request, size_t limit);

}  // namespace deeprack::coordinator
