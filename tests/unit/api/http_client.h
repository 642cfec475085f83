// A blocking HTTP client for tests, on plain sockets. It can break the protocol.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace deeprack::coordinator {

struct HttpReply {
  int status = 0;       // 0: the connection was closed without an answer
  std::string headers;  // with the status line
  std::string body;     // chunks joined

  bool HasHeader(const std::string& line) const { return absl::StrContains(headers, line); }
};

class HttpClient {
 public:
  explicit HttpClient(uint16_t port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0)
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~HttpClient() { Close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool connected() const { return connected_; }

  void Close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

  bool Send(const std::string& bytes) {
    return ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  bool SendRequest(const std::string& method, const std::string& path, const std::string& body = "") {
    return Send(absl::StrCat(method, " ", path,
                             " HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n",
                             "Content-Length: ", body.size(), "\r\n\r\n", body));
  }

  // Reads until the input holds `text`; false when the connection ends first.
  bool ReadUntil(const std::string& text) {
    while (input_.find(text) == input_.npos) {
      if (!ReadSome()) return false;
    }
    return true;
  }

  // Returns the status and the headers of the next answer, and leaves the answer unread.
  HttpReply ReadHead() {
    HttpReply reply;
    if (!ReadUntil("\r\n\r\n")) return reply;
    reply.headers = input_.substr(0, input_.find("\r\n\r\n") + 4);
    (void)absl::SimpleAtoi(reply.headers.substr(9, 3), &reply.status);
    return reply;
  }

  // Returns the next whole answer. An answer without a length and without chunks ends with the connection.
  HttpReply ReadReply() {
    HttpReply reply = ReadHead();
    input_.erase(0, reply.headers.size());
    if (reply.status == 204) return reply;  // no body, whatever the headers say
    if (const size_t at = reply.headers.find("Content-Length: "); at != reply.headers.npos) {
      size_t length = 0;
      (void)absl::SimpleAtoi(reply.headers.substr(at + 16, reply.headers.find("\r\n", at) - at - 16),
                             &length);
      while (input_.size() < length && ReadSome()) {
      }
      reply.body = input_.substr(0, length);
      input_.erase(0, length);
    } else if (reply.HasHeader("chunked")) {
      while (ReadChunk(reply.body)) {
      }
    } else {
      while (ReadSome()) {
      }
      reply.body = std::exchange(input_, "");
    }
    return reply;
  }

  HttpReply Request(const std::string& method, const std::string& path, const std::string& body = "") {
    SendRequest(method, path, body);
    return ReadReply();
  }

  // Everything that comes until the server closes the connection.
  std::string ReadToEnd() {
    while (ReadSome()) {
    }
    return std::exchange(input_, "");
  }

  // Discards unread bytes and returns true when the server has closed the connection.
  bool WaitForClose() {
    while (ReadSome()) input_.clear();
    return true;
  }

 private:
  bool ReadSome() {
    char buffer[4096];
    const ssize_t n = ::recv(socket_, buffer, sizeof(buffer), 0);
    if (n <= 0) return false;
    input_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  bool ReadChunk(std::string& body) {
    if (!ReadUntil("\r\n")) return false;
    const size_t line = input_.find("\r\n");
    size_t length = 0;
    (void)absl::SimpleHexAtoi(input_.substr(0, line), &length);
    while (input_.size() < line + 2 + length + 2) {
      if (!ReadSome()) return false;
    }
    body += input_.substr(line + 2, length);
    input_.erase(0, line + 2 + length + 2);
    return length > 0;
  }

  int socket_;
  bool connected_ = false;
  std::string input_;
};

}  // namespace deeprack::coordinator
