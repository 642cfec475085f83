#include "coordinator/api/http_exchange.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "coordinator/api/http_loop.h"

namespace deeprack::coordinator {
namespace {

namespace net = boost::asio;

// Bytes of a stream that one write takes. write_timeout is the time that one write may take.
constexpr size_t kBytesPerWrite = 64 << 10;

}  // namespace

ConnectionExchange::ConnectionExchange(boost::beast::tcp_stream* stream, HttpShared& shared, HttpLoop& loop,
                                       std::string request_id)
    : request_id_(std::move(request_id)),
      stream_(stream),
      loop_(loop),
      work_(shared.work.get()),
      queue_({.soft_bytes = shared.options.stream_queue_bytes,
              .hard_bytes = shared.options.stream_queue_hard_bytes,
              .grace = shared.options.slow_client_grace,
              .hard_grace = shared.options.stream_queue_hard_grace}),
      wake_(stream->get_executor(), net::steady_timer::time_point::max()) {}

void ConnectionExchange::Respond(HttpResponse response) {
  response_ = std::move(response);
  wake_.cancel();
}

void ConnectionExchange::StartStream() {
  streaming_ = true;
  wake_.cancel();
}

void ConnectionExchange::Send(std::string bytes) {
  if (closed_) return;
  if (!queue_.Push(std::move(bytes), absl::Now())) {
    slow_client_ = true;
    return CloseSocket();
  }
  SendLater();
}

void ConnectionExchange::EndStream() {
  ended_ = true;
  SendLater();
}

void ConnectionExchange::SendLater() {
  if (writing_ != Writing::kDirect || closed_ || std::exchange(flush_waits_, true)) return;
  loop_.FlushLater(shared_from_this());
}

void ConnectionExchange::OnDisconnect(std::function<void(Disconnect)> callback) {
  on_disconnect_ = std::move(callback);
}

void ConnectionExchange::Post(std::function<void()> work) { loop_.Post(std::move(work)); }

void ConnectionExchange::OnWake(std::function<void()> reader) {
  reader_ = std::move(reader);
  reader_changed_ = true;
}

void ConnectionExchange::Wake() { loop_.Wake(shared_from_this()); }

void ConnectionExchange::RunReader() {
  if (!reader_) return;
  // The reader may set another one, or none, while it runs.
  reader_changed_ = false;
  std::function<void()> reader = std::exchange(reader_, nullptr);
  reader();
  if (!reader_changed_) reader_ = std::move(reader);
}

bool ConnectionExchange::RunAside(size_t bytes, std::function<void()> work) {
  return work_->Submit(bytes, std::move(work));
}

void ConnectionExchange::Close(bool complete) {
  closed_ = true;
  const auto callback = std::exchange(on_disconnect_, nullptr);
  if (!complete && callback) callback(slow_client_ ? Disconnect::kSlowClient : Disconnect::kClientLeft);
}

void ConnectionExchange::CloseSocket() {
  stream_->close();  // ends a write under way
  closed_ = true;
  wake_.cancel();
}

net::awaitable<void> ConnectionExchange::WaitForAnswer() {
  while (!response_ && !streaming_ && !closed_) {
    wake_.expires_at(net::steady_timer::time_point::max());
    co_await wake_.async_wait(net::as_tuple(net::use_awaitable));
  }
}

void ConnectionExchange::OpenStream(bool chunked) {
  chunked_ = chunked;
  writing_ = Writing::kDirect;
  last_write_ = std::chrono::steady_clock::now();
  Flush();
}

void ConnectionExchange::FrameNext(std::string& out) {
  const size_t bytes = queue_.NextBytes(kBytesPerWrite);
  if (chunked_ && bytes > 0) absl::StrAppend(&out, absl::Hex(bytes), "\r\n");
  queue_.TakeInto(bytes, out);
  if (chunked_ && bytes > 0) out.append("\r\n");
  if (!ended_ || !queue_.empty()) return;
  if (chunked_) out.append("0\r\n\r\n");
  end_framed_ = true;
}

void ConnectionExchange::Flush() {
  flush_waits_ = false;
  if (closed_) return;
  const int socket = stream_->socket().native_handle();
  while (writing_ == Writing::kDirect && (!queue_.empty() || ended_)) {
    std::string& frame = loop_.scratch();
    frame.clear();
    if (!end_framed_) FrameNext(frame);
    const ssize_t sent =
        frame.empty() ? 0 : ::send(socket, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return CloseSocket();
    if (sent == static_cast<ssize_t>(frame.size())) {
      last_write_ = std::chrono::steady_clock::now();
      if (!end_framed_) continue;
      writing_ = Writing::kComplete;
    } else {
      blocked_.assign(frame, sent > 0 ? static_cast<size_t>(sent) : 0);
      writing_ = Writing::kBlocked;
    }
    wake_.cancel();
  }
}

void ConnectionExchange::Unblock() {
  last_write_ = std::chrono::steady_clock::now();
  writing_ = Writing::kDirect;
  Flush();
}

void ConnectionExchange::SendComment() {
  if (queue_.Push(": keep-alive\n\n", absl::Now())) Flush();
}

net::awaitable<ConnectionExchange::Stream> ConnectionExchange::WaitForStream(
    std::optional<std::chrono::nanoseconds> limit) {
  for (;;) {
    if (closed_) co_return Stream::kClosed;
    if (writing_ == Writing::kComplete) co_return Stream::kComplete;
    if (writing_ == Writing::kBlocked) co_return Stream::kBlocked;
    if (limit) {
      // The timer is not set anew at each write: when it expires, the last write says how long is left.
      const auto idle_at = last_write_ + *limit;
      if (std::chrono::steady_clock::now() >= idle_at) co_return Stream::kIdle;
      wake_.expires_at(std::chrono::time_point_cast<net::steady_timer::duration>(idle_at));
    } else {
      wake_.expires_at(net::steady_timer::time_point::max());
    }
    co_await wake_.async_wait(net::as_tuple(net::use_awaitable));
  }
}

}  // namespace deeprack::coordinator
