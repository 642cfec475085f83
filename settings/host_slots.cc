#include "settings/host_slots.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace deeprack {

absl::StatusOr<std::vector<HostSlots>> ParseHosts(absl::string_view text) {
  std::vector<HostSlots> hosts;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> fields =
        absl::StrSplit(part, absl::MaxSplits(':', 1));
    HostSlots host{.host = std::string(absl::StripAsciiWhitespace(fields.first))};
    const bool has_slots = part.find(':') != absl::string_view::npos;
    if (host.host.empty() || host.host[0] == '-' ||
        (has_slots && (!absl::SimpleAtoi(fields.second, &host.slots) || host.slots < 1))) {
      return absl::InvalidArgumentError("must be host:ranks,host:ranks, such as node1:8,node2:8");
    }
    hosts.push_back(std::move(host));
  }
  return hosts;
}

std::string HostsText(const std::vector<HostSlots>& hosts) {
  return absl::StrJoin(hosts, ",", [](std::string* out, const HostSlots& host) {
    absl::StrAppend(out, host.host, ":", host.slots);
  });
}

}  // namespace deeprack
