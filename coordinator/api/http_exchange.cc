#include "coordinator/api/http_exchange.h"

#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/time/clock.h"

namespace deeprack::coordinator {
namespace {

namespace net = boost::asio;

// Bytes of a stream that one write takes. write_timeout is the time that one write may take.
constexpr size_t kBytesPerWrite = 64 << 10;

}  // namespace

ConnectionExchange::ConnectionExchange(boost::beast::tcp_stream* stream, HttpShared& shared,
                                       std::string request_id)
    : request_id_(std::move(request_id)),
      stream_(stream),
      executor_(stream->get_executor()),
      work_(shared.work.get()),
      queue_({.soft_bytes = shared.options.stream_queue_bytes,
              .hard_bytes = shared.options.stream_queue_hard_bytes,
              .grace = shared.options.slow_client_grace,
              .hard_grace = shared.options.stream_queue_hard_grace}),
      wake_(executor_) {}

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
    stream_->close();  // ends the write under way
    closed_ = true;
  }
  wake_.cancel();
}

void ConnectionExchange::EndStream() {
  ended_ = true;
  wake_.cancel();
}

void ConnectionExchange::OnDisconnect(std::function<void(Disconnect)> callback) {
  on_disconnect_ = std::move(callback);
}

void ConnectionExchange::Post(std::function<void()> work) { net::post(executor_, std::move(work)); }

bool ConnectionExchange::RunAside(size_t bytes, std::function<void()> work) {
  return work_->Submit(bytes, std::move(work));
}

void ConnectionExchange::Close(bool complete) {
  closed_ = true;
  const auto callback = std::exchange(on_disconnect_, nullptr);
  if (!complete && callback) callback(slow_client_ ? Disconnect::kSlowClient : Disconnect::kClientLeft);
}

net::awaitable<bool> ConnectionExchange::Wait(std::optional<absl::Duration> limit) {
  while (!response_ && !(streaming_ && !started_) && queue_.empty() && !ended_ && !closed_) {
    if (limit) {
      wake_.expires_after(absl::ToChronoNanoseconds(*limit));
    } else {
      wake_.expires_at(net::steady_timer::time_point::max());
    }
    const auto [error] = co_await wake_.async_wait(net::as_tuple(net::use_awaitable));
    if (!error) co_return false;
  }
  co_return true;
}

std::string ConnectionExchange::TakeQueued() { return queue_.Take(kBytesPerWrite); }

}  // namespace deeprack::coordinator
