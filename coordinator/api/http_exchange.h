// The answer to one request, between the code that makes the answer and the connection that writes it.
// Belongs to the connection's strand. Only the HTTP core includes this header.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include "coordinator/api/http_connection.h"
#include "coordinator/api/stream_queue.h"

namespace deeprack::coordinator {

class ConnectionExchange final : public HttpExchange {
 public:
  ConnectionExchange(boost::beast::tcp_stream* stream, HttpShared& shared, std::string request_id);

  absl::string_view request_id() const override { return request_id_; }
  void Respond(HttpResponse response) override;
  void StartStream() override;
  void Send(std::string bytes) override;
  void EndStream() override;
  void OnDisconnect(std::function<void(Disconnect)> callback) override;
  bool gone() const override { return closed_; }
  void Post(std::function<void()> work) override;
  bool RunAside(size_t bytes, std::function<void()> work) override;

  // The methods below are for the connection.

  void MarkSlowClient() { slow_client_ = true; }

  // No byte will be sent any more. `complete`: the whole answer was sent.
  void Close(bool complete);

  // Waits until there is something to write. False: `limit` passed first.
  boost::asio::awaitable<bool> Wait(std::optional<absl::Duration> limit);

  void MarkStarted() { started_ = true; }

  // The next bytes of the stream: at most as many bytes as one write takes.
  std::string TakeQueued();

  std::optional<HttpResponse>& response() { return response_; }
  bool ended() const { return ended_ && queue_.empty(); }
  bool closed() const { return closed_; }

 private:
  const std::string request_id_;
  boost::beast::tcp_stream* stream_;  // not used once closed_
  boost::asio::any_io_executor executor_;
  WorkPool* work_;
  StreamQueue queue_;
  boost::asio::steady_timer wake_;
  std::optional<HttpResponse> response_;
  bool streaming_ = false, started_ = false, ended_ = false, slow_client_ = false;
  std::atomic<bool> closed_{false};  // written on the strand
  std::function<void(Disconnect)> on_disconnect_;
};

}  // namespace deeprack::coordinator
