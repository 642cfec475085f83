#include "coordinator/api/http_connection.h"

#include <poll.h>

#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "coordinator/api/cors.h"
#include "coordinator/api/http_exchange.h"
#include "coordinator/api/http_head.h"
#include "spdlog/spdlog.h"

namespace deeprack::coordinator {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = net::ip::tcp;

constexpr auto kNoThrow = net::as_tuple(net::use_awaitable);

// The bytes of a body that the connection holds besides the body itself.
constexpr size_t kReadAhead = 64 << 10;

// How often the connection asks whether a client that has sent more than its request is still there.
constexpr auto kLookForClient = std::chrono::milliseconds(250);

std::chrono::nanoseconds Chrono(absl::Duration duration) { return absl::ToChronoNanoseconds(duration); }

// True once the client has closed its side, whether or not bytes of it are unread.
bool ClientHasLeft(int socket) {
  pollfd state{.fd = socket, .events = POLLRDHUP};
  return ::poll(&state, 1, 0) > 0;
}

class Connection {
 public:
  Connection(tcp::socket socket, HttpShared& shared, HttpLoop& loop)
      : stream_(std::move(socket)),
        shared_(shared),
        loop_(loop),
        buffer_(shared.options.max_header_bytes + kReadAhead) {
    // With a small kernel buffer, the server notices a client that does not read after a few hundred
    // kilobytes.
    beast::error_code ignored;
    stream_.socket().set_option(net::socket_base::send_buffer_size(128 << 10), ignored);
    stream_.socket().set_option(tcp::no_delay(true), ignored);
  }

  net::awaitable<void> Serve() {
    absl::Duration patience = shared_.options.header_timeout;
    while (co_await ServeOne(patience)) {
      if (shared_.stopping) break;
      patience = shared_.options.idle_timeout;
    }
    co_await Linger();
  }

  // Answers a request that does not reach the handler. The connection closes after the answer.
  net::awaitable<void> Refuse(int status, std::string message) {
    HttpResponse response;
    response.status = status;
    response.body = shared_.error_body(
        {.status = status, .message = std::move(message), .path = request_.path, .id = request_.id});
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
  // One request and its answer. `patience`: the time until the request begins. False: close the connection.
  net::awaitable<bool> ServeOne(absl::Duration patience) {
    request_ = {.id = shared_.ids.Make()};
    cors_.clear();
    if (!co_await ReadHead(patience)) co_return false;
    const std::string raw(Buffered().substr(0, *HeadSize(Buffered())));

    http::request_parser<http::string_body> parser;
    parser.header_limit(shared_.options.max_header_bytes);
    parser.body_limit(shared_.options.max_body_bytes);
    auto [header_error, header_bytes] = co_await http::async_read_header(stream_, buffer_, parser, kNoThrow);
    if (header_error == http::error::body_limit)
      TakeHead(parser.get());  // a whole head, with a length too large
    if (header_error) co_return co_await AnswerReadError(header_error);
    TakeHead(parser.get());
    if (const std::optional<std::string> fault = FaultOfHead(raw, parser.get())) {
      co_await Refuse(400, absl::StrCat("not an HTTP request: ", *fault));
      co_return false;
    }
    if (!parser.is_done() && shared_.gate) {
      if (std::optional<HttpResponse> refused = shared_.gate(request_)) {
        keep_alive_ = false;
        const absl::Time begin = absl::Now();
        Log(begin, co_await Write(*std::move(refused)));
        co_return false;
      }
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
    request_.body = std::move(parser.get().body());
    co_return co_await Answer();
  }

  absl::string_view Buffered() const {
    return {static_cast<const char*>(buffer_.data().data()), buffer_.size()};
  }

  // Reads until buffer_ begins with a whole head. False: the client has left or is too slow, or was refused.
  net::awaitable<bool> ReadHead(absl::Duration patience) {
    stream_.expires_after(Chrono(patience));
    bool begun = false;
    for (;;) {
      buffer_.consume(EmptyLineBytes(Buffered()));
      if (!Buffered().empty()) {
        if (!begun) stream_.expires_after(Chrono(shared_.options.header_timeout));
        begun = true;
        if (!MayBeginRequest(Buffered())) {
          co_await Refuse(400, "not an HTTP request: it does not begin with a method");
          co_return false;
        }
        if (HeadSize(Buffered())) co_return true;
      }
      if (buffer_.size() > shared_.options.max_header_bytes) {
        co_return co_await AnswerReadError(http::error::header_limit);
      }
      auto [error, n] = co_await stream_.async_read_some(buffer_.prepare(4096), kNoThrow);
      if (error) co_return false;
      buffer_.commit(n);
    }
  }

  // Takes method, path, query, headers and id from the head, without the body.
  void TakeHead(const http::request<http::string_body>& head) {
    version_ = head.version();
    keep_alive_ = head.keep_alive() && shared_.options.idle_timeout > absl::ZeroDuration();
    request_.method = std::string(head.method_string());
    request_.path = PathOfTarget({head.target().data(), head.target().size()});
    const size_t query = head.target().find('?');
    if (query != head.target().npos) request_.query = std::string(head.target().substr(query + 1));
    for (const auto& field : head) {
      request_.headers.emplace_back(absl::AsciiStrToLower(std::string(field.name_string())), field.value());
    }
    if (const auto id = request_.Header("x-request-id"); IsRequestId(id)) request_.id = std::string(id);
    cors_ = CorsHeaders(shared_.options.cors_origins, request_);
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

  net::awaitable<bool> Answer() {
    using net::experimental::awaitable_operators::operator||;
    const absl::Time begin = absl::Now();
    bool complete = false;
    if (std::optional<HttpResponse> preflight = AnswerPreflight(shared_.options.cors_origins, request_)) {
      complete = co_await Write(*std::move(preflight));
    } else {
      auto exchange = std::make_shared<ConnectionExchange>(&stream_, shared_, loop_, request_.id);
      ++shared_.answering;
      std::string body = std::exchange(request_.body, "");
      HttpRequest request = request_;
      request.body = std::move(body);
      shared_.handler(std::move(request), exchange);
      const auto outcome = co_await (WriteAnswer(*exchange) || WatchForDisconnect());
      complete = outcome.index() == 0 && std::get<0>(outcome);
      exchange->Close(complete);
      --shared_.answering;
    }
    Log(begin, complete);
    const bool next = complete && keep_alive_;
    co_return next;
  }

  // `complete`: the client has the whole answer.
  void Log(absl::Time begin, bool complete) const {
    // Probes and scrapers ask every second.
    const auto level =
        request_.method == "GET" || request_.method == "HEAD" ? spdlog::level::debug : spdlog::level::info;
    spdlog::log(level, "{} {} {} {} ms{} request {}", request_.method,
                absl::CHexEscape(request_.path.substr(0, 256)), status_,
                absl::ToInt64Milliseconds(absl::Now() - begin), complete ? "" : " cut", request_.id);
  }

  // Returns when the client has closed its side. Closes the socket then, which ends a write under way.
  net::awaitable<void> WatchForDisconnect() {
    const int socket = stream_.socket().native_handle();
    for (;;) {
      const auto [error] = co_await stream_.socket().async_wait(tcp::socket::wait_read, kNoThrow);
      if (error) co_return;  // the answer is complete, or the socket was closed
      if (ClientHasLeft(socket)) break;
      // Bytes of the next request are here. The socket stays readable until they are read.
      net::steady_timer pause(stream_.get_executor(), kLookForClient);
      const auto [stopped] = co_await pause.async_wait(kNoThrow);
      if (stopped || !stream_.socket().is_open()) co_return;
    }
    stream_.close();
  }

  // False when the client was lost.
  net::awaitable<bool> WriteAnswer(ConnectionExchange& exchange) {
    co_await exchange.WaitForAnswer();
    if (exchange.response()) co_return co_await Write(std::move(*exchange.response()));
    if (exchange.closed()) co_return false;

    http::response<http::empty_body> head(http::status::ok, version_);
    head.set(http::field::content_type, "text/event-stream; charset=utf-8");
    head.set(http::field::cache_control, "no-cache");
    head.set("X-Accel-Buffering", "no");  // proxies must pass events on at once
    head.chunked(version_ >= 11);
    keep_alive_ = keep_alive_ && version_ >= 11;
    SetCommonHeaders(head);
    http::response_serializer<http::empty_body> serializer(head);
    stream_.expires_after(Chrono(shared_.options.write_timeout));
    auto [error, n] = co_await http::async_write_header(stream_, serializer, kNoThrow);
    if (error) co_return false;

    stream_.expires_never();

    const absl::Duration interval = shared_.options.keep_alive_interval;
    const auto comment_after =
        interval > absl::ZeroDuration() ? std::optional(Chrono(interval)) : std::nullopt;
    exchange.OpenStream(/*chunked=*/version_ >= 11);
    for (;;) {
      switch (co_await exchange.WaitForStream(comment_after)) {
        case ConnectionExchange::Stream::kClosed:
          co_return false;
        case ConnectionExchange::Stream::kComplete:
          co_return true;
        case ConnectionExchange::Stream::kIdle:
          exchange.SendComment();
          break;
        case ConnectionExchange::Stream::kBlocked: {
          const std::string bytes = exchange.TakeBlocked();
          stream_.expires_after(Chrono(shared_.options.write_timeout));
          auto [write_error, written] = co_await net::async_write(stream_, net::buffer(bytes), kNoThrow);
          if (write_error == beast::error::timeout) exchange.MarkSlowClient();
          if (write_error || exchange.closed()) co_return false;
          stream_.expires_never();
          exchange.Unblock();
          break;
        }
      }
    }
  }

  net::awaitable<bool> Write(HttpResponse plain) {
    http::response<http::string_body> response(static_cast<http::status>(plain.status), version_);
    if (!plain.content_type.empty()) response.set(http::field::content_type, plain.content_type);
    for (const auto& [name, value] : plain.headers) response.set(name, value);
    SetCommonHeaders(response);
    response.body() = std::move(plain.body);
    response.prepare_payload();
    if (request_.method == "HEAD") response.body().clear();  // the length stays
    stream_.expires_after(Chrono(shared_.options.write_timeout));
    auto [error, n] = co_await http::async_write(stream_, response, kNoThrow);
    stream_.expires_never();
    co_return !error;
  }

  // The headers that every answer has. Notes the status for the log.
  template <typename Head>
  void SetCommonHeaders(Head& head) {
    keep_alive_ = keep_alive_ && !shared_.draining;
    head.keep_alive(keep_alive_);
    head.set(http::field::date,
             absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()));
    head.set("x-request-id", request_.id);
    head.set("request-id", request_.id);  // Anthropic's name
    for (const auto& [name, value] : cors_) head.set(name, value);
    status_ = head.result_int();
  }

  beast::tcp_stream stream_;
  HttpShared& shared_;
  HttpLoop& loop_;
  beast::flat_buffer buffer_;
  HttpRequest request_;                                    // under way, as far as it has been read
  std::vector<std::pair<std::string, std::string>> cors_;  // headers of the answer to request_
  unsigned version_ = 11;
  unsigned status_ = 0;  // of the answer to request_
  bool keep_alive_ = false;
};

}  // namespace

net::awaitable<void> ServeConnection(tcp::socket socket, HttpShared& shared, HttpLoop& loop) {
  Connection connection(std::move(socket), shared, loop);
  co_await connection.Serve();
}

net::awaitable<void> TurnAway(tcp::socket socket, HttpShared& shared, HttpLoop& loop) {
  Connection connection(std::move(socket), shared, loop);
  co_await connection.Refuse(
      503, absl::StrCat("too many connections: at most ", shared.options.max_connections, " are served"));
  co_await connection.Linger();
}

}  // namespace deeprack::coordinator
