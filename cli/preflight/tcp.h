// TCP connections whose every wait has a limit.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/rpc/address.h"

namespace deeprack::cli {

// Owns a socket.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// Connects, without Nagle's delay. Unavailable: the name is unknown, nothing listens, or no answer within
// `patience`; the message begins with the address.
absl::StatusOr<Socket> Connect(const HostPort& address, absl::Duration patience);

// Listens at `address`. Port 0: any free port. AlreadyExists: the port is in
// use. Unavailable: another reason.
absl::StatusOr<Socket> Listen(const HostPort& address);
// The port that `listener` is bound to.
int PortOf(const Socket& listener);

// The next connection. Unavailable: none came within `patience`.
absl::StatusOr<Socket> Accept(const Socket& listener, absl::Duration patience);

// All `size` bytes, or an error: Unavailable when the connection ends or waits longer than `patience` for one
// piece.
absl::Status SendAll(const Socket& socket, const char* data, size_t size, absl::Duration patience);
absl::Status ReceiveAll(const Socket& socket, char* data, size_t size, absl::Duration patience);
// Up to `size` bytes; 0 at the end of the stream.
absl::StatusOr<size_t> ReceiveSome(const Socket& socket, char* data, size_t size, absl::Duration patience);
// Ends this side's stream; the other side can still send.
void EndSending(const Socket& socket);

// This machine's address on the way to `host`. Unavailable: the name is unknown, or there is no way there.
absl::StatusOr<std::string> OwnAddressTowards(const std::string& host);

}  // namespace deeprack::cli
