#include "worker/rpc/meeting_host.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/rpc/address.h"
#include "base/status_macros.h"

namespace deeprack::worker {
namespace {

// The source address of packets to `to`, or "" when there is no route.
std::string SourceAddress(const addrinfo& to) {
  const int socket_fd = socket(to.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return "";
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  char host[NI_MAXHOST] = "";
  // A connected socket of UDP has a route and a source address, and has sent nothing.
  const bool found = connect(socket_fd, to.ai_addr, to.ai_addrlen) == 0 &&
                     getsockname(socket_fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
                     getnameinfo(reinterpret_cast<sockaddr*>(&own), size, host, sizeof(host), nullptr, 0,
                                 NI_NUMERICHOST) == 0;
  close(socket_fd);
  return found ? host : "";
}

}  // namespace

absl::StatusOr<std::string> MeetingHost(const std::string& listen, const std::string& coordinator) {
  if (!listen.empty()) {
    DR_ASSIGN_OR_RETURN(const HostPort own, ParseHostPort(listen));
    if (!IsWildcard(own.host)) return own.host;
  }
  DR_ASSIGN_OR_RETURN(const HostPort other, ParseHostPort(coordinator));
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* places = nullptr;
  const std::string port = absl::StrCat(other.port);
  if (const int error = getaddrinfo(other.host.c_str(), port.c_str(), &hints, &places); error != 0) {
    return absl::UnavailableError(
        absl::StrCat("the coordinator's address ", coordinator, ": ", gai_strerror(error)));
  }
  std::string found;
  for (const addrinfo* place = places; place != nullptr && found.empty(); place = place->ai_next) {
    found = SourceAddress(*place);
  }
  freeaddrinfo(places);
  if (found.empty()) {
    return absl::UnavailableError(absl::StrCat("no route leads to the coordinator at ", coordinator,
                                               "; name this machine's address with --listen"));
  }
  return found;
}

}  // namespace deeprack::worker
