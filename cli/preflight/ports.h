// The head machine's ports: whether they are free, and who holds them.
#pragma once

#include <cstdint>
#include <string>

#include "cli/preflight/finding.h"

namespace deeprack::cli {

// The program that listens at the TCP port of this machine: "deeprack-coordinator (pid 12)". "": nobody, or a
// process of another user whose files this process may not read.
std::string HolderOf(uint16_t port);

// A row for a port. `in_use`: the port was not free, so it could not be bound. `holder`: HolderOf. `failure`:
// another reason for which the port could not be bound; "": none.
Finding JudgePort(const std::string& subject, bool in_use, const std::string& holder,
                  const std::string& failure);

}  // namespace deeprack::cli
