// Addresses of the form host:port, as users write them and as the cluster's processes send them to each
// other.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack {

struct HostPort {
  std::string host;   // a name, 10.0.0.2, or fd00::2 without brackets
  uint16_t port = 0;  // 0 for a listener: the system chooses a free port
};

// Reads "node1:7000", "10.0.0.2:7000" or "[fd00::2]:7000". InvalidArgument: the message quotes the text and
// gives examples of valid addresses.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// The inverse of ParseHostPort. An IPv6 address gets brackets.
std::string ToString(const HostPort& address);

// True when only this machine can reach `host`: 127.0.0.0/8, ::1, localhost. False for any other name.
bool IsLoopback(absl::string_view host);

// True when `host` means every interface of this machine: 0.0.0.0, ::.
bool IsWildcard(absl::string_view host);

// The host in gRPC's name of a peer ("ipv4:10.0.0.2:4711", "ipv6:%5Bfd00::2%5D:4711"). InvalidArgument for a
// peer without a network address.
absl::StatusOr<std::string> HostOfPeer(absl::string_view peer);

// FailedPrecondition when `address` is not loopback and `has_tls` is false. A peer that can reach a cluster
// port can read and stop everything, so connections beyond loopback must be encrypted and authenticated.
absl::Status CheckProtected(const HostPort& address, bool has_tls);

}  // namespace deeprack
