// A small HTTP/1.1 client: one connection for each request. Calls block, and every wait has a limit.
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

// Called several times a second during a wait; true ends the wait with the error Cancelled.
using Cancelled = std::function<bool()>;

// The answer with any status code. Unavailable: no server listens at the URL, or the connection broke.
// DeadlineExceeded: the whole exchange took longer than `timeout`.
absl::StatusOr<HttpResponse> HttpGet(const Url& url, const std::string& target, absl::Duration timeout);

// Posts JSON and passes the body of a 200 answer to `on_data`, piece by piece as the pieces arrive; when
// `on_data` returns false, the call ends.
// `silence`: the longest time without a byte. Any other answer is an error with the server's message:
// InvalidArgument for 4xx, ResourceExhausted for 429, Unavailable for 503, Internal otherwise.
absl::Status HttpPostStreaming(const Url& url, const std::string& target, const std::string& json,
                               absl::Duration silence, const std::function<bool(absl::string_view)>& on_data,
                               const Cancelled& cancelled);

// As HttpPostStreaming, but returns the whole body of a 200 answer. ResourceExhausted: a body over 1 GiB.
absl::StatusOr<std::string> HttpPost(const Url& url, const std::string& target, const std::string& json,
                                     absl::Duration silence, const Cancelled& cancelled);

}  // namespace deeprack::cli
