#include "worker/topology/machine_report.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"
#include "worker/device/host_memory.h"
#include "worker/topology/hwloc_topology.h"
#include "worker/topology/nvml_cards.h"

namespace deeprack::worker {
namespace {

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The kernel makes the boot id once for each start of the machine, and containers see the same one. The
// machine id of an image may be that of many containers, so it counts together with the host name.
std::string MachineIdentity() {
  if (std::string boot = FirstLine("/proc/sys/kernel/random/boot_id"); !boot.empty()) return boot;
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) return "";
  return absl::StrCat(FirstLine("/etc/machine-id"), "@", host);
}

bool IsLinkLocal(const sockaddr& address) {
  return address.sa_family == AF_INET6 &&
         IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
}

std::vector<std::string> NetworkAddresses() {
  std::vector<std::string> addresses;
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return addresses;
  for (const ifaddrs* i = interfaces; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || (i->ifa_flags & IFF_UP) == 0 || (i->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    const int family = i->ifa_addr->sa_family;
    if ((family != AF_INET && family != AF_INET6) || IsLinkLocal(*i->ifa_addr)) continue;
    char host[NI_MAXHOST] = "";
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (getnameinfo(i->ifa_addr, size, host, sizeof(host), nullptr, 0, NI_NUMERICHOST) == 0) {
      addresses.emplace_back(host);
    }
  }
  freeifaddrs(interfaces);
  return addresses;
}

// NVML writes eight digits of the domain, CUDA four.
bool SameBus(const std::string& a, const std::string& b) {
  const std::string& longer = a.size() > b.size() ? a : b;
  const std::string& shorter = a.size() > b.size() ? b : a;
  return !shorter.empty() && absl::EndsWithIgnoreCase(longer, shorter) &&
         longer.substr(0, longer.size() - shorter.size()).find_first_not_of('0') == std::string::npos;
}

}  // namespace

MachineReport ReadMachineReport(const std::string& card_bus) {
  MachineReport report = {
      .machine = MachineIdentity(), .available_bytes = AvailableHostBytes(), .addresses = NetworkAddresses()};
  if (const auto topology = HwlocTopology::OfThisMachine(); topology.ok()) {
    const Machine machine = topology->machine();
    report.numa_nodes = static_cast<int32_t>(machine.nodes.size());
    for (const NumaNode& node : machine.nodes) report.cores += static_cast<int32_t>(node.cores.size());
  } else {
    spdlog::warn("the coordinator is not told this machine's processors: {}",
                 std::string(topology.status().message()));
  }
  absl::StatusOr<std::vector<CardReport>> cards = ReadCards();
  if (!cards.ok()) {
    const bool matters = !card_bus.empty();
    spdlog::log(matters ? spdlog::level::warn : spdlog::level::debug,
                "the coordinator is not told this machine's cards: {}",
                std::string(cards.status().message()));
    return report;
  }
  report.cards = *std::move(cards);
  for (size_t i = 0; i < report.cards.size(); ++i) {
    if (SameBus(report.cards[i].bus, card_bus)) report.card = static_cast<int32_t>(i);
  }
  return report;
}

}  // namespace deeprack::worker
