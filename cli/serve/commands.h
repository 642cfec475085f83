// The command lines of the processes that `serve` starts. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "settings/settings.h"

namespace deeprack::cli {

// What the coordinator prints when it has bound its ports.
struct CoordinatorPorts {
  int32_t http = 0;
  int32_t cluster = 0;
};

std::vector<std::string> CoordinatorCommand(const std::string& program, const Settings& settings);

// A single rank is started directly; several ranks, or ranks on settings.hosts, through mpirun. `as_root`:
// this user is root, which mpirun refuses without a flag.
std::vector<std::string> WorkersCommand(const std::string& program, const Settings& settings,
                                        const CoordinatorPorts& ports, bool as_root);

// The command that a person types on the machine of a rank that is started by hand.
std::vector<std::string> ExternalWorkerCommand(const Settings& settings, const CoordinatorPorts& ports);

// What to try when mpirun over `hosts` has ended with `exit_code` of its own, as it does when it cannot start
// programs on a host. "" without hosts, and for the codes of ranks and signals.
std::string LauncherHint(const std::vector<HostSlots>& hosts, int exit_code);

// host:port where a worker reaches the coordinator: the host of settings.cluster_address and the port that
// the coordinator has bound.
std::string CoordinatorAddress(const Settings& settings, const CoordinatorPorts& ports);

}  // namespace deeprack::cli
