// One client connection, from accept to close. Internal to the HTTP core.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

// What all connections of a server share; outlives them.
struct HttpShared {
  HttpOptions options;
  HttpHandler handler;
  std::function<std::string(int status, const std::string& message)> error_body;
  std::atomic<int> connections{0};
  std::atomic<int> answering{0};      // requests between their last byte in and their answer's last byte out
  std::atomic<bool> stopping{false};  // answer what is under way, then close
};

// Serves requests one after another. The socket's executor is a strand.
boost::asio::awaitable<void> ServeConnection(boost::asio::ip::tcp::socket socket, HttpShared& shared);

// Answers 503 and closes: there are too many connections.
boost::asio::awaitable<void> TurnAway(boost::asio::ip::tcp::socket socket, HttpShared& shared);

}  // namespace deeprack::coordinator
