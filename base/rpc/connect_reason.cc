#include "base/rpc/connect_reason.h"

#include <initializer_list>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace deeprack {
namespace {

bool HasOneOf(absl::string_view text, std::initializer_list<absl::string_view> words) {
  for (const absl::string_view word : words) {
    if (absl::StrContains(text, word)) return true;
  }
  return false;
}

}  // namespace

std::string ConnectReason(absl::string_view address, absl::string_view grpc_message) {
  const std::string text = absl::AsciiStrToLower(grpc_message);
  if (HasOneOf(text, {"dns resolution failed", "domain name not found", "name or service not known",
                      "c-ares status is not ares_success"})) {
    return absl::StrCat("this machine cannot look up the name ", address.substr(0, address.rfind(':')));
  }
  if (HasOneOf(text, {"connection refused"}))
    return "connection refused: nothing listens there, or a firewall rejects it";
  if (HasOneOf(text, {"no route to host", "network is unreachable"}))
    return "this machine has no route there";
  if (HasOneOf(text,
               {"certificate verify failed", "certificate_verify_failed", "unknown ca", "unknown_ca"})) {
    return "the certificate is refused: it has expired, or it is of another authority";
  }
  if (HasOneOf(text, {"settings frame", "handshake", "ssl", "tls", "socket closed", "connection reset",
                      "endpoint closing"})) {
    return "the port answers, and the connection ends at once: one end goes without certificates, the "
           "certificates are of different authorities, or another program listens there";
  }
  if (HasOneOf(text, {"timed out", "timeout"}))
    return "no answer: the machine is down, or a firewall or a route drops the packets";
  return std::string(grpc_message);
}

std::string LossReason(absl::string_view grpc_message) {
  const std::string text = absl::AsciiStrToLower(grpc_message);
  if (HasOneOf(text, {"cancelling all calls", "server shutting down"})) return "it was stopped";
  if (HasOneOf(text, {"keepalive", "ping timeout"}))
    return "it answers no pings: its process stands still, or the network lost it";
  if (HasOneOf(text, {"socket closed", "connection reset", "endpoint closing", "broken pipe"}))
    return "the connection broke: its process ended, or the network cut the connection";
  return std::string(grpc_message);
}

}  // namespace deeprack
