// host:port as people write it and as the cluster's processes tell it each other.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack {

struct HostPort {
  std::string host;   // a name, 10.0.0.2, or fd00::2 without brackets
  uint16_t port = 0;  // 0: any, where one listens
};

// "node1:7000", "10.0.0.2:7000", "[fd00::2]:7000". InvalidArgument says what was found and what would do.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// The inverse; brackets around an IPv6 address.
std::string ToString(const HostPort& address);

// Whether only this machine can reach `host`: 127.0.0.0/8, ::1, localhost. Any other name counts as
// reachable.
bool IsLoopback(absl::string_view host);

// Whether `host` means every interface of this machine: 0.0.0.0, ::.
bool IsWildcard(absl::string_view host);

// The host of gRPC's name of a peer ("ipv4:10.0.0.2:4711", "ipv6:%5Bfd00::2%5D:4711").
absl::StatusOr<std::string> HostOfPeer(absl::string_view peer);

// The cluster's ports carry the power to read and stop everything. FailedPrecondition when `address` is not
// loopback and the connection would not be encrypted and authenticated.
absl::Status CheckProtected(const HostPort& address, bool has_tls);

}  // namespace deeprack
