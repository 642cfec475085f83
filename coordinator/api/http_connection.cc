#include "coordinator/api/http_connection.h"

#include <sys/socket.h>

#include <chrono>
#include <optional>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "coordinator/api/stream_queue.h"

namespace deeprack::coordinator {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = net::ip::tcp;

constexpr auto kNoThrow = net::as_tuple(net::use_awaitable);

std::chrono::nanoseconds Chrono(absl::Duration duration) { return absl::ToChronoNanoseconds(duration); }

// Bytes of a stream that one write takes: write_timeout is the time for so much progress.
constexpr size_t kBytesPerWrite = 64 << 10;

// False if the message's Transfer-Encoding is one that proxies may read differently: such a message could
// hide another request in its body.
bool HasKnownBodyLength(const http::request<http::string_body>& request) {
  const auto count = request.count(http::field::transfer_encoding);
  if (count == 0) return true;
  return count == 1 && request.version() >= 11 &&
         beast::iequals(request[http::field::transfer_encoding], "chunked");
}

// An answer that the handler makes and the connection's writer sends. Belongs to the connection's strand.
class Exchange final : public HttpExchange {
 public:
  Exchange(beast::tcp_stream* stream, HttpShared& shared)
      : stream_(stream),
        executor_(stream->get_executor()),
        work_(shared.work.get()),
        queue_({.soft_bytes = shared.options.stream_queue_bytes,
                .hard_bytes = shared.options.stream_queue_hard_bytes,
                .grace = shared.options.slow_client_grace,
                .hard_grace = shared.options.stream_queue_hard_grace}),
        wake_(executor_) {}

  void Respond(HttpResponse response) override {
    response_ = std::move(response);
    wake_.cancel();
  }

  void StartStream() override {
    streaming_ = true;
    wake_.cancel();
  }

  void Send(std::string bytes) override {
    if (closed_) return;
    if (!queue_.Push(std::move(bytes), absl::Now())) {
      slow_client_ = true;
      stream_->close();  // ends the write under way
      closed_ = true;
    }
    wake_.cancel();
  }

  void EndStream() override {
    ended_ = true;
    wake_.cancel();
  }

  void OnDisconnect(std::function<void(Disconnect)> callback) override {
    on_disconnect_ = std::move(callback);
  }

  bool gone() const override { return closed_; }

  void Post(std::function<void()> work) override { net::post(executor_, std::move(work)); }

  bool RunAside(size_t bytes, std::function<void()> work) override {
    return work_->Submit(bytes, std::move(work));
  }

  // The methods below are for the connection.

  void MarkSlowClient() { slow_client_ = true; }

  // No byte will be sent any more. `complete`: the whole answer was sent.
  void Close(bool complete) {
    closed_ = true;
    const auto callback = std::exchange(on_disconnect_, nullptr);
    if (!complete && callback) callback(slow_client_ ? Disconnect::kSlowClient : Disconnect::kClientLeft);
  }

  // Waits until there is something to write. False: `limit` passed first.
  net::awaitable<bool> Wait(std::optional<absl::Duration> limit) {
    while (!response_ && !(streaming_ && !started_) && queue_.empty() && !ended_ && !closed_) {
      if (limit) {
        wake_.expires_after(Chrono(*limit));
      } else {
        wake_.expires_at(net::steady_timer::time_point::max());
      }
      const auto [error] = co_await wake_.async_wait(kNoThrow);
      if (!error) co_return false;
    }
    co_return true;
  }

  void MarkStarted() { started_ = true; }

  std::string TakeQueued() { return queue_.Take(kBytesPerWrite); }

  std::optional<HttpResponse>& response() { return response_; }
  bool ended() const { return ended_ && queue_.empty(); }
  bool closed() const { return closed_; }

 private:
  beast::tcp_stream* stream_;  // not used once closed_
  net::any_io_executor executor_;
  WorkPool* work_;
  StreamQueue queue_;
  net::steady_timer wake_;
  std::optional<HttpResponse> response_;
  bool streaming_ = false, started_ = false, ended_ = false, slow_client_ = false;
  std::atomic<bool> closed_{false};  // written on the strand
  std::function<void(Disconnect)> on_disconnect_;
};

class Connection {
 public:
  Connection(tcp::socket socket, HttpShared& shared) : stream_(std::move(socket)), shared_(shared) {
    // With a small kernel buffer, the server notices a client that does not read after a few hundred
    // kilobytes.
    beast::error_code ignored;
    stream_.socket().set_option(net::socket_base::send_buffer_size(128 << 10), ignored);
    stream_.socket().set_option(tcp::no_delay(true), ignored);
  }

  net::awaitable<void> Serve() {
    bool goes_on = true;
    while (goes_on && !shared_.stopping) goes_on = co_await ServeOne();
    co_await Linger();
  }

  net::awaitable<void> Refuse(int status, std::string message) {
    HttpResponse response;
    response.status = status;
    response.body = shared_.error_body({.status = status, .message = std::move(message), .path = path_});
    keep_alive_ = false;
    co_await Write(std::move(response));
  }

  // Closes so that the last answer arrives: closing with unread input would reset the connection.
  net::awaitable<void> Linger() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(std::chrono::seconds(2));
    std::array<char, 4096> sink;
    for (int reads = 0; reads < 4096; ++reads) {
      const auto [error, n] = co_await stream_.async_read_some(net::buffer(sink), kNoThrow);
      if (error || n == 0) break;
    }
    stream_.close();
  }

 private:
  // One request and its answer. False: close the connection.
  net::awaitable<bool> ServeOne() {
    http::request_parser<http::string_body> parser;
    parser.header_limit(shared_.options.max_header_bytes);
    parser.body_limit(shared_.options.max_body_bytes);

    path_.clear();
    stream_.expires_after(Chrono(shared_.options.header_timeout));
    auto [header_error, header_bytes] = co_await http::async_read_header(stream_, buffer_, parser, kNoThrow);
    if (header_error) co_return co_await AnswerReadError(header_error);
    version_ = parser.get().version();
    keep_alive_ = parser.get().keep_alive();
    head_ = parser.get().method() == http::verb::head;
    path_ = std::string(parser.get().target().substr(0, parser.get().target().find('?')));
    if (!HasKnownBodyLength(parser.get())) {
      co_await Refuse(400, "not an HTTP request: Transfer-Encoding must be chunked, once, in HTTP/1.1");
      co_return false;
    }

    stream_.expires_after(Chrono(shared_.options.body_timeout));
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      auto [error, n] = co_await net::async_write(stream_, net::buffer(kContinue), kNoThrow);
      if (error) co_return false;
    }
    auto [body_error, body_bytes] = co_await http::async_read(stream_, buffer_, parser, kNoThrow);
    if (body_error) co_return co_await AnswerReadError(body_error);
    stream_.expires_never();
    co_return co_await Answer(parser.release());
  }

  net::awaitable<bool> AnswerReadError(beast::error_code error) {
    if (error == http::error::body_limit) {
      co_await Refuse(413,
                      absl::StrCat("the body is larger than ", shared_.options.max_body_bytes, " bytes"));
    } else if (error == http::error::header_limit) {
      co_await Refuse(
          431, absl::StrCat("the headers are larger than ", shared_.options.max_header_bytes, " bytes"));
    }
    const bool malformed = error.category() == make_error_code(http::error::bad_method).category() &&
                           error != http::error::body_limit && error != http::error::header_limit &&
                           error != http::error::end_of_stream && error != http::error::partial_message;
    if (malformed) co_await Refuse(400, absl::StrCat("not an HTTP request: ", error.message()));
    co_return false;  // refused, or closed, reset, too slow
  }

  net::awaitable<bool> Answer(http::request<http::string_body> request) {
    using net::experimental::awaitable_operators::operator||;
    HttpRequest plain;
    plain.method = std::string(request.method_string());
    plain.path = path_;
    for (const auto& field : request) {
      plain.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())), field.value());
    }
    plain.body = std::move(request.body());

    auto exchange = std::make_shared<Exchange>(&stream_, shared_);
    ++shared_.answering;
    shared_.handler(std::move(plain), exchange);
    const auto outcome = co_await (WriteAnswer(*exchange) || WatchForDisconnect());
    const bool complete = outcome.index() == 0 && std::get<0>(outcome);
    exchange->Close(complete);
    --shared_.answering;
    const bool next = complete && keep_alive_;
    co_return next;
  }

  // Returns when the client has closed its side. Closes the socket then, which ends a write under way.
  net::awaitable<void> WatchForDisconnect() {
    for (;;) {
      const auto [error] = co_await stream_.socket().async_wait(tcp::socket::wait_read, kNoThrow);
      if (error) co_return;  // the answer is complete, or the socket was closed
      char byte = 0;
      const ssize_t n = ::recv(stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (n > 0) {  // the next request is here already: the socket stays readable until it is read
        net::steady_timer forever(stream_.get_executor(), net::steady_timer::time_point::max());
        co_await forever.async_wait(kNoThrow);
        co_return;
      }
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      stream_.close();
      co_return;
    }
  }

  // False when the client was lost.
  net::awaitable<bool> WriteAnswer(Exchange& exchange) {
    co_await exchange.Wait(std::nullopt);
    if (exchange.response()) co_return co_await Write(std::move(*exchange.response()));
    exchange.MarkStarted();

    http::response<http::empty_body> head(http::status::ok, version_);
    head.set(http::field::content_type, "text/event-stream; charset=utf-8");
    head.set(http::field::cache_control, "no-cache");
    head.set("X-Accel-Buffering", "no");  // proxies must pass events on at once
    head.keep_alive(keep_alive_ && version_ >= 11);
    head.chunked(version_ >= 11);
    keep_alive_ = head.keep_alive();
    http::response_serializer<http::empty_body> serializer(head);
    stream_.expires_after(Chrono(shared_.options.write_timeout));
    auto [error, n] = co_await http::async_write_header(stream_, serializer, kNoThrow);
    if (error) co_return false;

    for (;;) {
      const bool something = co_await exchange.Wait(shared_.options.keep_alive_interval);
      if (exchange.closed()) co_return false;
      std::string bytes = something ? exchange.TakeQueued() : ": keep-alive\n\n";
      const bool last = something && exchange.ended();
      if (version_ >= 11) {
        if (!bytes.empty()) bytes = absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
        if (last) bytes += "0\r\n\r\n";
      }
      stream_.expires_after(Chrono(shared_.options.write_timeout));
      auto [write_error, written] = co_await net::async_write(stream_, net::buffer(bytes), kNoThrow);
      if (write_error == beast::error::timeout) exchange.MarkSlowClient();
      if (write_error || exchange.closed()) co_return false;
      stream_.expires_never();
      if (last) co_return true;
    }
  }

  net::awaitable<bool> Write(HttpResponse plain) {
    http::response<http::string_body> response(static_cast<http::status>(plain.status), version_);
    response.set(http::field::content_type, plain.content_type);
    for (const auto& [name, value] : plain.headers) response.set(name, value);
    response.keep_alive(keep_alive_);
    response.body() = std::move(plain.body);
    response.prepare_payload();
    if (head_) response.body().clear();  // the length stays
    stream_.expires_after(Chrono(shared_.options.write_timeout));
    auto [error, n] = co_await http::async_write(stream_, response, kNoThrow);
    stream_.expires_never();
    co_return !error;
  }

  beast::tcp_stream stream_;
  HttpShared& shared_;
  beast::flat_buffer buffer_;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool head_ = false;
  std::string path_;  // of the request under way
};

}  // namespace

net::awaitable<void> ServeConnection(tcp::socket socket, HttpShared& shared) {
  Connection connection(std::move(socket), shared);
  co_await connection.Serve();
}

net::awaitable<void> TurnAway(tcp::socket socket, HttpShared& shared) {
  Connection connection(std::move(socket), shared);
  co_await connection.Refuse(
      503, absl::StrCat("too many connections: at most ", shared.options.max_connections, " are served"));
  co_await connection.Linger();
}

}  // namespace deeprack::coordinator
