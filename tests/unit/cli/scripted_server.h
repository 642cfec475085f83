// An HTTP server that answers from a script. It accepts one connection, reads the request, writes the pieces,
// and closes the connection (or stays silent until it is destroyed).
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <thread>
#include <vector>

#include "cli/http/url.h"

namespace deeprack::cli {

class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> pieces, bool close = true)
      : acceptor_(context_, boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)),
        thread_([this, pieces = std::move(pieces), close] { Run(pieces, close); }) {}
  ~ScriptedServer() {
    leave_ = true;
    thread_.join();
  }
  Url url() const { return {.host = "127.0.0.1", .port = std::to_string(acceptor_.local_endpoint().port())}; }

 private:
  void Run(const std::vector<std::string>& pieces, bool close) {
    boost::system::error_code error;
    boost::asio::ip::tcp::socket socket = acceptor_.accept(error);
    boost::asio::streambuf request;
    boost::asio::read_until(socket, request, "\r\n\r\n", error);
    for (const std::string& piece : pieces) boost::asio::write(socket, boost::asio::buffer(piece), error);
    while (!close && !leave_) std::this_thread::yield();
    socket.shutdown(boost::asio::ip::tcp::socket::shutdown_send, error);
    std::string rest(1024, '\0');
    while (socket.read_some(boost::asio::buffer(rest), error) > 0 && !error) {
    }
  }

  std::atomic<bool> leave_ = false;
  boost::asio::io_context context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::thread thread_;
};

inline const std::string kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

}  // namespace deeprack::cli
