// One client connection, from accept to close. Only the HTTP core includes this header.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "coordinator/api/http_loop.h"
#include "coordinator/api/http_server.h"
#include "coordinator/api/request_id.h"
#include "coordinator/api/work_pool.h"

namespace deeprack::coordinator {

// The state that all connections of a server share. It outlives the connections.
struct HttpShared {
  HttpOptions options;
  HttpHandler handler;
  HttpErrorWriter error_body;
  HttpGate gate;  // may be empty
  std::unique_ptr<WorkPool> work;
  std::atomic<int> connections{0};
  std::atomic<int> answering{0};      // requests that have arrived and are not answered to the last byte
  std::atomic<bool> draining{false};  // every answer is the last of its connection
  std::atomic<bool> stopping{false};  // connections answer the request under way, then close
  RequestIds ids;
};

// Serves requests one after another. The socket's executor is the loop's.
boost::asio::awaitable<void> ServeConnection(boost::asio::ip::tcp::socket socket, HttpShared& shared,
                                             HttpLoop& loop);

// Answers 503 and closes: there are too many connections.
boost::asio::awaitable<void> TurnAway(boost::asio::ip::tcp::socket socket, HttpShared& shared,
                                      HttpLoop& loop);

}  // namespace deeprack::coordinator
