#include "coordinator/membership/hello.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/message_text.h"
#include "base/rpc/address.h"
#include "base/status_macros.h"

namespace deeprack::coordinator {
namespace {

constexpr size_t kLongestText = 512;  // bytes of a name or an address
constexpr int kMostListed = 1024;     // cards, and addresses, of one machine

bool IsName(const std::string& text) {
  return text.size() <= kLongestText && std::ranges::none_of(text, absl::ascii_iscntrl);
}

// Names go into messages and logs.
absl::Status CheckTexts(const cluster::Hello& hello) {
  const cluster::MachineReport& machine = hello.machine();
  if (machine.cards_size() > kMostListed || machine.addresses_size() > kMostListed) {
    return absl::InvalidArgumentError(
        absl::StrCat("a worker's Hello lists ", machine.cards_size(), " cards and ", machine.addresses_size(),
                     " addresses; at most ", kMostListed, " of each are possible"));
  }
  const auto bad_card = [](const cluster::CardReport& card) {
    return !IsName(card.name()) || !IsName(card.uuid());
  };
  if (!IsName(hello.host()) || !IsName(hello.card()) || !IsName(hello.kept().options()) ||
      !IsName(machine.machine()) || std::ranges::any_of(machine.cards(), bad_card) ||
      !std::ranges::all_of(machine.addresses(), IsName)) {
    return absl::InvalidArgumentError(absl::StrCat("a worker's Hello has a name that is longer than ",
                                                   kLongestText, " bytes or holds control characters"));
  }
  if (hello.backend() != "cpu" && hello.backend() != "cuda") {
    return absl::InvalidArgumentError(
        absl::StrCat("a worker's Hello has the backend ", QuotedName(hello.backend()), "; known: cpu, cuda"));
  }
  return absl::OkStatus();
}

// The address at which a worker serves. `said` is the worker's own address. If `said` has only a port, the
// host is the host of its connection `peer`.
absl::StatusOr<std::string> ServingAddress(const std::string& said, const std::string& peer, bool has_tls) {
  std::string text = said;
  if (absl::StartsWith(said, ":")) {
    DR_ASSIGN_OR_RETURN(const std::string host, HostOfPeer(peer));
    text = absl::StrCat(absl::StrContains(host, ':') ? absl::StrCat("[", host, "]") : host, said);
  }
  DR_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(text));
  if (address.port == 0) return absl::InvalidArgumentError(absl::StrCat("address '", text, "' has no port"));
  DR_RETURN_IF_ERROR(CheckProtected(address, has_tls));
  return ToString(address);
}

NodeReport ReportFromProto(const cluster::MachineReport& message) {
  NodeReport report = {.machine = message.machine(),
                       .numa_nodes = message.numa_nodes(),
                       .cores = message.cores(),
                       .available_bytes = message.available_bytes(),
                       .card = message.card(),
                       .addresses = {message.addresses().begin(), message.addresses().end()}};
  for (const cluster::CardReport& card : message.cards()) {
    report.cards.push_back({.name = card.name(),
                            .uuid = card.uuid(),
                            .memory_bytes = card.memory_bytes(),
                            .free_bytes = card.free_bytes(),
                            .numa_node = card.numa_node(),
                            .link_group = card.link_group()});
  }
  return report;
}

}  // namespace

absl::StatusOr<JoinedNode> NodeFromHello(const cluster::Hello& hello, const std::string& version,
                                         const std::string& peer, bool has_tls) {
  if (hello.version() != version) {
    return absl::FailedPreconditionError(absl::StrCat("the worker is of version ",
                                                      QuotedName(hello.version()), ", the coordinator of ",
                                                      QuotedName(version), ": use one build for both"));
  }
  DR_RETURN_IF_ERROR(CheckTexts(hello));
  DR_ASSIGN_OR_RETURN(const std::string address, ServingAddress(hello.address(), peer, has_tls));
  return JoinedNode{.launch_rank = hello.launch_rank(),
                    .launch_world = hello.launch_world(),
                    .host = hello.host(),
                    .pid = hello.pid(),
                    .address = address,
                    .backend = hello.backend(),
                    .card = hello.card(),
                    .nccl = hello.nccl(),
                    .gloo = hello.gloo(),
                    .kept_rank = hello.has_kept() ? hello.kept().rank() : -1,
                    .last_epoch = hello.kept().epoch(),
                    .kept_options = hello.kept().options(),
                    .report = ReportFromProto(hello.machine())};
}

std::string OneLine(std::string_view text) {
  constexpr size_t kShown = 500;
  return absl::Utf8SafeCEscape(std::string(text.substr(0, kShown)));
}

}  // namespace deeprack::coordinator
