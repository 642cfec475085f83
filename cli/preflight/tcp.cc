#include "cli/preflight/tcp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace deeprack::cli {
namespace {

constexpr int kWaitingConnections = 128;

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

absl::StatusOr<Addresses> Resolve(const HostPort& address, int type) {
  addrinfo hints{};
  hints.ai_socktype = type;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &list);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat(address.host, ": the name is not known here (",
                                               gai_strerror(error), "): add it to DNS or /etc/hosts"));
  }
  return Addresses(list);
}

int Milliseconds(absl::Duration time) {
  return static_cast<int>(absl::ToInt64Milliseconds(std::max(time, absl::ZeroDuration())));
}

// True when the socket is ready for `events`, or has failed, within `patience`.
bool WaitFor(int fd, short events, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  pollfd wait{.fd = fd, .events = events};
  int got = 0;
  do got = poll(&wait, 1, Milliseconds(deadline - absl::Now()));
  while (got < 0 && errno == EINTR);
  return got > 0;
}

// errno of the connection attempt; 0 when it succeeded.
int ConnectOne(int fd, const addrinfo& to, absl::Duration patience) {
  if (connect(fd, to.ai_addr, to.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!WaitFor(fd, POLLOUT, patience)) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

std::string ReasonOf(int error, absl::Duration patience) {
  if (error == ECONNREFUSED) return "connection refused: nothing listens there, or a firewall rejects it";
  if (error == ETIMEDOUT) {
    return absl::StrCat("no answer within ", absl::FormatDuration(patience),
                        ": a firewall or a route drops the packets");
  }
  return std::strerror(error);
}

void SendAtOnce(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

absl::Status TooSlow(absl::Duration patience) {
  return absl::UnavailableError(
      absl::StrCat("the connection stood still for ", absl::FormatDuration(patience)));
}

absl::Status Broken() {
  return absl::UnavailableError(absl::StrCat("the connection broke: ", std::strerror(errno)));
}

bool IsTransient() { return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

Socket::Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<Socket> Connect(const HostPort& address, absl::Duration patience) {
  DR_ASSIGN_OR_RETURN(const Addresses list, Resolve(address, SOCK_STREAM));
  int error = EADDRNOTAVAIL;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol));
    if (socket.fd() < 0) continue;
    error = ConnectOne(socket.fd(), *at, patience);
    if (error != 0) continue;
    SendAtOnce(socket.fd());
    return socket;
  }
  return absl::UnavailableError(absl::StrCat(ToString(address), ": ", ReasonOf(error, patience)));
}

absl::StatusOr<Socket> Listen(const HostPort& address) {
  DR_ASSIGN_OR_RETURN(const Addresses list, Resolve(address, SOCK_STREAM));
  int error = EADDRNOTAVAIL;
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol));
    if (socket.fd() < 0) continue;
    const int on = 1;
    setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(socket.fd(), at->ai_addr, at->ai_addrlen) == 0 && listen(socket.fd(), kWaitingConnections) == 0)
      return socket;
    error = errno;
  }
  const std::string message = absl::StrCat(ToString(address), ": ", std::strerror(error));
  return error == EADDRINUSE ? absl::AlreadyExistsError(message) : absl::UnavailableError(message);
}

int PortOf(const Socket& listener) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&bound), &size);
  if (bound.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

absl::StatusOr<Socket> Accept(const Socket& listener, absl::Duration patience) {
  if (!WaitFor(listener.fd(), POLLIN, patience)) return absl::UnavailableError("no connection came");
  Socket socket(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.fd() < 0) return Broken();
  SendAtOnce(socket.fd());
  return socket;
}

absl::Status SendAll(const Socket& socket, const char* data, size_t size, absl::Duration patience) {
  while (size > 0) {
    if (!WaitFor(socket.fd(), POLLOUT, patience)) return TooSlow(patience);
    const ssize_t sent = send(socket.fd(), data, size, MSG_NOSIGNAL);
    if (sent < 0 && IsTransient()) continue;
    if (sent <= 0) return Broken();
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ReceiveSome(const Socket& socket, char* data, size_t size, absl::Duration patience) {
  while (true) {
    if (!WaitFor(socket.fd(), POLLIN, patience)) return TooSlow(patience);
    const ssize_t got = recv(socket.fd(), data, size, 0);
    if (got < 0 && IsTransient()) continue;
    if (got < 0) return Broken();
    return static_cast<size_t>(got);
  }
}

absl::Status ReceiveAll(const Socket& socket, char* data, size_t size, absl::Duration patience) {
  while (size > 0) {
    DR_ASSIGN_OR_RETURN(const size_t got, ReceiveSome(socket, data, size, patience));
    if (got == 0) return absl::UnavailableError("the other side closed the connection");
    data += got;
    size -= got;
  }
  return absl::OkStatus();
}

void EndSending(const Socket& socket) { shutdown(socket.fd(), SHUT_WR); }

absl::StatusOr<std::string> OwnAddressTowards(const std::string& host) {
  DR_ASSIGN_OR_RETURN(const Addresses list, Resolve({.host = host, .port = 9}, SOCK_DGRAM));
  for (const addrinfo* at = list.get(); at != nullptr; at = at->ai_next) {
    // Connecting a datagram socket chooses the interface and sends nothing.
    const Socket socket(::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol));
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    char text[NI_MAXHOST];
    if (socket.fd() >= 0 && connect(socket.fd(), at->ai_addr, at->ai_addrlen) == 0 &&
        getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof(text), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      return std::string(text);
    }
  }
  return absl::UnavailableError(absl::StrCat(host, ": this machine has no route there"));
}

}  // namespace deeprack::cli
