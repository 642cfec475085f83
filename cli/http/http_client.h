// A small HTTP/1.1 client: one request, one connection. Blocks; every wait has an end.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/http/url.h"

namespace deeprack::cli {

struct HttpResponse {
  int status = 0;
  std::string body;
};

// Asked several times a second while waiting; true ends the wait with Cancelled.
using Cancelled = std::function<bool()>;

// The answer, whatever its status code. Unavailable: nobody listens there, or the connection broke.
// DeadlineExceeded: `timeout` for the whole exchange has passed.
absl::StatusOr<HttpResponse> HttpGet(const Url& url, const std::string& target, absl::Duration timeout);

// Posts JSON and hands on the body of a 200 answer piece by piece as it comes; false from `on_data` ends it.
// `silence`: the longest time without a byte. Any other answer is an error with the server's message:
// InvalidArgument for 4xx, ResourceExhausted for 429, Unavailable for 503, Internal otherwise.
absl::Status HttpPostStreaming(const Url& url, const std::string& target, const std::string& json,
                               absl::Duration silence, const std::function<bool(absl::string_view)>& on_data,
                               const Cancelled& cancelled);

// As HttpPostStreaming, with the body of a 200 answer as a whole. ResourceExhausted beyond 1 GiB.
absl::StatusOr<std::string> HttpPost(const Url& url, const std::string& target, const std::string& json,
                                     absl::Duration silence, const Cancelled& cancelled);

}  // namespace deeprack::cli
