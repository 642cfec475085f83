// The HTTP/1.1 core: connections, limits, deadlines, event streams. The core knows no route and no JSON; a
// handler gets plain values and answers through HttpExchange. Only the .cc files of the core include Asio and
// Beast.
//
// Limits: the server refuses a request that is too large and a connection that is one too many, and closes
// the connection of a request that arrives too slowly. The server also closes a stream whose client reads too
// slowly: when more than `stream_queue_bytes` have waited for the client for longer than `slow_client_grace`,
// when more than `stream_queue_hard_bytes` have waited for `stream_queue_hard_grace`, or when a write has
// made no progress for `write_timeout`. A stream's memory is bounded by `stream_queue_hard_bytes` and the
// events of `stream_queue_hard_grace`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace deeprack::coordinator {

struct HttpRequest {
  std::string id;  // the client's x-request-id, or one that the server has made; in the answer and in the log
  std::string method;  // "GET"
  std::string path;    // as the client wrote it, without the query; "" for OPTIONS *
  std::string query;   // after the "?", as the client wrote it
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  // The value of the first header `name` (in lower case), or "".
  absl::string_view Header(absl::string_view name) const;
};

// A request that does not reach the handler.
struct HttpRefusal {
  int status = 400;
  std::string message;
  std::string path;  // empty: the request ended before its path
  std::string id;    // HttpRequest::id
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";  // empty: neither type nor body
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// Why an answer could not be completed.
enum class Disconnect : uint8_t {
  kClientLeft,  // the client closed the connection, or the connection broke
  kSlowClient,  // the client read too slowly, and the server closed the connection
};

// The answer to one request. The connection owns the exchange together with the code that still answers; all
// of them let go of the exchange before the server is destroyed. Post, Wake, RunAside, gone and request_id
// may be called from any thread; all other methods only on the connection's executor: in the handler, or in a
// function given to Post.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // HttpRequest::id of the request that this answers. Never changes.
  virtual absl::string_view request_id() const = 0;

  // The whole answer. Called once, and not after StartStream.
  virtual void Respond(HttpResponse response) = 0;

  // A text/event-stream answer: StartStream, Send any number of times, EndStream. While nothing is sent, the
  // server sends keep-alive comments. After a disconnect, Send and EndStream do nothing.
  virtual void StartStream() = 0;
  virtual void Send(std::string bytes) = 0;
  virtual void EndStream() = 0;

  // `callback` is called at most once: when the connection ends before the answer is complete.
  virtual void OnDisconnect(std::function<void(Disconnect)> callback) = 0;

  // True once the connection has ended: nothing that is sent arrives.
  virtual bool gone() const = 0;

  // Runs `work` on the connection's executor. Does not block.
  virtual void Post(std::function<void()> work) = 0;

  // Wake has the connection's executor call `reader`, once for each call of Wake, as if posted; Wake is
  // cheaper than Post, and allocates nothing. Wake may be called from any thread. It does nothing without a
  // reader (null).
  virtual void OnWake(std::function<void()> reader) = 0;
  virtual void Wake() = 0;

  // Runs `work`, which is about `bytes` bytes of a request, on a thread that serves no connection. Does not
  // block. False: `work_queue_bytes` are exceeded, or the server stops; then `work` is dropped.
  virtual bool RunAside(size_t bytes, std::function<void()> work) = 0;
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;     // 0: any free one
  int threads = 2;       // that serve connections
  int work_threads = 2;  // that run what RunAside takes
  int max_connections = 1024;
  uint32_t max_header_bytes = 16 << 10;
  uint64_t max_body_bytes = 8 << 20;
  size_t work_queue_bytes = 128 << 20;         // of bodies that RunAside's work is about
  size_t stream_queue_bytes = 256 << 10;       // may wait for a client for any time
  size_t stream_queue_hard_bytes = 512 << 10;  // may wait for a client for slow_client_grace
  absl::Duration stream_queue_hard_grace = absl::Milliseconds(250);  // more than that may wait
  absl::Duration slow_client_grace = absl::Seconds(5);               // StreamQueueLimits::grace
  absl::Duration header_timeout = absl::Seconds(15);  // from a request's first byte to its headers' end
  absl::Duration idle_timeout = absl::Seconds(75);  // from an answer to the next request; 0: no next request
  absl::Duration body_timeout = absl::Seconds(30);
  absl::Duration write_timeout = absl::Seconds(15);
  absl::Duration keep_alive_interval =
      absl::Seconds(10);                  // between comments in a stream without events; 0: no comments
  std::vector<std::string> cors_origins;  // CorsHeaders
};

using HttpHandler = std::function<void(HttpRequest, std::shared_ptr<HttpExchange>)>;
// Looks at a request whose body has not been read: request.body is empty. Returns the answer to a request
// that must not go on. The server then reads no body, answers, and closes the connection. A request without
// a body reaches the handler in any case. May be called from several threads at once.
using HttpGate = std::function<std::optional<HttpResponse>(const HttpRequest& request)>;
// Makes the body of the answer to a refused request.
using HttpErrorWriter = std::function<std::string(const HttpRefusal&)>;

class HttpServer {
 public:
  // Binds, and serves at once on threads of the server's own. `error_body` makes the body of an answer to a
  // request that does not reach the handler (413, 431, 400, 503). Without a `gate`, every body is read.
  // Errors: AlreadyExists if the port is in use, InvalidArgument if the host is no address of this machine,
  // Unavailable if it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpOptions options, HttpHandler handler,
                                                           HttpErrorWriter error_body, HttpGate gate = {});

  virtual ~HttpServer() = default;  // closes the connections that are still open

  virtual uint16_t port() const = 0;

  // From now on, each connection closes after its next answer.
  virtual void StopKeepAlive() = 0;

  // The requests that have arrived and are not answered to the last byte.
  virtual int answering() const = 0;

  // Accepts no more connections, waits up to `grace` for the answers under way, then stops the threads.
  virtual void Stop(absl::Duration grace) = 0;
};

}  // namespace deeprack::coordinator
