#include "base/rpc/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace deeprack {
namespace {

constexpr size_t kLongestHost = 253;  // characters; RFC 1035

absl::Status NotAnAddress(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("address '", absl::Utf8SafeCEscape(std::string(text.substr(0, kLongestHost))),
                   "' is not host:port, such as 10.0.0.2:7000 or [fd00::2]:7000"));
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0 || colon > kLongestHost + 2) return NotAnAddress(text);
  absl::string_view host = text.substr(0, colon);
  const bool bracketed = absl::ConsumePrefix(&host, "[");
  if (bracketed != absl::ConsumeSuffix(&host, "]")) return NotAnAddress(text);
  in6_addr ipv6;
  const bool is_ipv6 = inet_pton(AF_INET6, std::string(host).c_str(), &ipv6) == 1;
  if (host.empty() || bracketed != is_ipv6) return NotAnAddress(text);
  for (const char c : host) {
    const bool known = absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._:", c);
    if (!known) return NotAnAddress(text);
  }
  const absl::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  if (!std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) || !absl::SimpleAtoi(digits, &port) ||
      port > std::numeric_limits<uint16_t>::max()) {
    return NotAnAddress(text);
  }
  return HostPort{std::string(host), static_cast<uint16_t>(port)};
}

std::string ToString(const HostPort& address) {
  const bool is_ipv6 = absl::StrContains(address.host, ':');
  return absl::StrCat(is_ipv6 ? "[" : "", address.host, is_ipv6 ? "]:" : ":", address.port);
}

bool IsLoopback(absl::string_view host) {
  const std::string text(host);
  in_addr ipv4;
  if (inet_pton(AF_INET, text.c_str(), &ipv4) == 1) return (ntohl(ipv4.s_addr) >> 24) == 127;
  in6_addr ipv6;
  if (inet_pton(AF_INET6, text.c_str(), &ipv6) == 1) return IN6_IS_ADDR_LOOPBACK(&ipv6);
  return absl::EqualsIgnoreCase(host, "localhost");
}

bool IsWildcard(absl::string_view host) {
  const std::string text(host);
  in_addr ipv4;
  if (inet_pton(AF_INET, text.c_str(), &ipv4) == 1) return ipv4.s_addr == INADDR_ANY;
  in6_addr ipv6;
  return inet_pton(AF_INET6, text.c_str(), &ipv6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&ipv6);
}

absl::StatusOr<std::string> HostOfPeer(absl::string_view peer) {
  absl::string_view address = peer;
  if (!absl::ConsumePrefix(&address, "ipv4:") && !absl::ConsumePrefix(&address, "ipv6:")) {
    return absl::InvalidArgumentError(absl::StrCat("peer '", peer, "' has no network address"));
  }
  const auto host_port = ParseHostPort(absl::StrReplaceAll(address, {{"%5B", "["}, {"%5D", "]"}}));
  if (!host_port.ok()) return host_port.status();
  return host_port->host;
}

absl::Status CheckProtected(const HostPort& address, bool has_tls) {
  if (has_tls || IsLoopback(address.host)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "address ", ToString(address),
      " is open to the network, where the cluster's ports need certificates: name their folder with "
      "--cluster-tls (`deeprack certs make` makes one), or use 127.0.0.1"));
}

}  // namespace deeprack
