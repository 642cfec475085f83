// The HTTP/1.1 core: connections, limits, deadlines, event streams. It knows no route and no JSON; a handler
// gets plain values and answers through HttpExchange. Asio and Beast stay behind this header.
//
// Limits: a request that is too large, too slow, or one too many is refused or cut; a stream whose client
// does not read is cut once `stream_queue_bytes` wait for it, or a write has made no progress for
// `write_timeout`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace deeprack::coordinator {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // without the query
  std::string content_type;
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// One request's way back to its client. Owned by the connection and whoever still answers; gone before the
// server. All methods but Post are called on the connection's executor: in the handler, or in a function
// handed to Post.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // The whole answer. Once, and not after StartStream.
  virtual void Respond(HttpResponse response) = 0;

  // A text/event-stream answer: StartStream, Send any number of times, EndStream. Quiet times are filled with
  // keep-alive comments. After a disconnect, Send and EndStream do nothing.
  virtual void StartStream() = 0;
  virtual void Send(std::string bytes) = 0;
  virtual void EndStream() = 0;

  // Called at most once, when the client is gone or was cut before the answer was complete.
  virtual void OnDisconnect(std::function<void()> callback) = 0;

  // Runs `work` on the connection's executor. From any thread; does not block.
  virtual void Post(std::function<void()> work) = 0;
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one
  int threads = 2;
  int max_connections = 1024;
  uint32_t max_header_bytes = 16 << 10;
  uint64_t max_body_bytes = 8 << 20;
  size_t stream_queue_bytes = 256 << 10;
  absl::Duration header_timeout = absl::Seconds(15);  // from the request's first wait to its headers' end
  absl::Duration body_timeout = absl::Seconds(30);
  absl::Duration write_timeout = absl::Seconds(15);
  absl::Duration keep_alive_interval = absl::Seconds(10);
};

using HttpHandler = std::function<void(HttpRequest, std::shared_ptr<HttpExchange>)>;

class HttpServer {
 public:
  // Binds and serves at once, on its own threads. An error message for a request that never reached the
  // handler (413, 431, 400, 503) is made by `error_body`. AlreadyExists: the port is in use.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      HttpOptions options, HttpHandler handler,
      std::function<std::string(int status, const std::string& message)> error_body);

  virtual ~HttpServer() = default;  // cuts what is still open

  virtual uint16_t port() const = 0;

  // Accepts no more, waits up to `grace` for the answers under way, then stops the threads.
  virtual void Stop(absl::Duration grace) = 0;
};

}  // namespace deeprack::coordinator
