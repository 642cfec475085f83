#include "bench/coordinator/send_floor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/time/clock.h"
#include "base/check.h"

namespace deeprack::bench {

SendFloor::SendFloor(int streams, absl::Duration pace) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  DR_CHECK(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  DR_CHECK(::listen(listener_, 4096) == 0);
  DR_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this, streams, pace] { Run(streams, pace); });
}

SendFloor::~SendFloor() {
  stopped_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  for (const int socket : sockets_) ::close(socket);
  ::close(listener_);
}

void SendFloor::Run(int streams, absl::Duration pace) {
  constexpr std::string_view kHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string event = "12c\r\ndata: {" + std::string(287, 'x') + "}\n\n\r\n";
  while (static_cast<int>(sockets_.size()) < streams && !stopped_) {
    const int socket = ::accept(listener_, nullptr, nullptr);
    if (socket < 0) return;
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ::send(socket, kHead.data(), kHead.size(), MSG_NOSIGNAL);
    sockets_.push_back(socket);
  }
  for (absl::Time next = absl::Now(); !stopped_; next = std::max(next + pace, absl::Now())) {
    absl::SleepFor(next - absl::Now());
    for (const int socket : sockets_) {
      ::send(socket, event.data(), event.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      ++sent_;
    }
  }
}

}  // namespace deeprack::bench
