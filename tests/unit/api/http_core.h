// An HTTP server without endpoints, for tests of the HTTP core.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

// The body of an answer to a refused request is the refusal's message.
inline std::unique_ptr<HttpServer> Start(HttpOptions options, HttpHandler handler) {
  return *HttpServer::Start(std::move(options), std::move(handler),
                            [](const HttpRefusal& refusal) { return refusal.message; });
}

// Answers with method, path and body.
inline void Echo(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  exchange->Respond(
      {.content_type = "text/plain", .body = request.method + " " + request.path + " " + request.body});
}

// Waits until another thread has made the condition true. False: the condition stayed false for 10 seconds.
inline bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 10000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return false;
}

}  // namespace deeprack::coordinator
