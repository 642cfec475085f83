// The machines on which ranks run, as --hosts and mpirun name them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace deeprack {

struct HostSlots {
  std::string host;
  int32_t slots = 1;  // ranks on this machine

  bool operator==(const HostSlots&) const = default;
};

// "a:2,b" is 2 ranks on a and 1 on b. InvalidArgument: an empty name, a name that begins with '-', or a
// number of ranks below 1.
absl::StatusOr<std::vector<HostSlots>> ParseHosts(absl::string_view text);

// The text that ParseHosts reads: "a:2,b:1".
std::string HostsText(const std::vector<HostSlots>& hosts);

}  // namespace deeprack
