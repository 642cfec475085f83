// The answer to one request, between the code that makes the answer and the connection that writes it.
// Belongs to the thread of the connection's HttpLoop. Only the HTTP core includes this header.
//
// A stream's events are written in one of two ways. While the socket takes all bytes, Flush sends them
// without waiting. When the socket takes no more, the connection's coroutine waits for the client and sends
// what is left; after that Flush sends again.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include "coordinator/api/http_connection.h"
#include "coordinator/api/stream_queue.h"

namespace deeprack::coordinator {

class ConnectionExchange final : public HttpExchange,
                                 public std::enable_shared_from_this<ConnectionExchange> {
 public:
  ConnectionExchange(boost::beast::tcp_stream* stream, HttpShared& shared, HttpLoop& loop,
                     std::string request_id);

  absl::string_view request_id() const override { return request_id_; }
  void Respond(HttpResponse response) override;
  void StartStream() override;
  void Send(std::string bytes) override;
  void EndStream() override;
  void OnDisconnect(std::function<void(Disconnect)> callback) override;
  bool gone() const override { return closed_; }
  void Post(std::function<void()> work) override;
  void OnWake(std::function<void()> reader) override;
  void Wake() override;
  bool RunAside(size_t bytes, std::function<void()> work) override;

  // For the loop: sends what is queued, as far as the socket takes it.
  void Flush();

  // For the loop: Wake was called.
  void RunReader();

  // The methods below are for the connection.

  void MarkSlowClient() { slow_client_ = true; }

  // No byte will be sent any more. `complete`: the whole answer was sent.
  void Close(bool complete);

  // Waits until there is an answer or a stream has been started.
  boost::asio::awaitable<void> WaitForAnswer();

  // The stream's head has been written: Flush may write. `chunked`: the stream is written in chunks.
  void OpenStream(bool chunked);

  // What the connection must do for an open stream.
  enum class Stream : uint8_t {
    kBlocked,   // write TakeBlocked(), then call Unblock
    kIdle,      // nothing was sent for `limit`: call SendComment
    kComplete,  // all has been sent
    kClosed,    // close the connection
  };
  boost::asio::awaitable<Stream> WaitForStream(std::optional<std::chrono::nanoseconds> limit);

  // The bytes that the socket did not take, in frames.
  std::string TakeBlocked() { return std::exchange(blocked_, {}); }
  // They have been written.
  void Unblock();

  void SendComment();

  std::optional<HttpResponse>& response() { return response_; }
  bool closed() const { return closed_; }

 private:
  enum class Writing : uint8_t { kNotOpen, kDirect, kBlocked, kComplete };

  void SendLater();
  // Appends the next bytes of the stream as a frame: at most as many as one write takes.
  void FrameNext(std::string& out);
  void CloseSocket();

  const std::string request_id_;
  boost::beast::tcp_stream* stream_;  // not used once closed_
  HttpLoop& loop_;
  WorkPool* work_;
  StreamQueue queue_;
  boost::asio::steady_timer wake_;  // the connection's coroutine waits for it
  std::optional<HttpResponse> response_;
  Writing writing_ = Writing::kNotOpen;
  bool streaming_ = false, chunked_ = false, ended_ = false, slow_client_ = false;
  bool end_framed_ = false;   // the stream's last frame has been made
  bool flush_waits_ = false;  // the loop will call Flush
  std::string blocked_;
  std::chrono::steady_clock::time_point last_write_;
  std::atomic<bool> closed_{false};  // written on the loop's thread
  std::function<void(Disconnect)> on_disconnect_;
  std::function<void()> reader_;
  bool reader_changed_ = false;
};

}  // namespace deeprack::coordinator
