// The command lines of the processes that serving takes. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/serve/serve_options.h"

namespace deeprack::cli {

// What the coordinator prints when it has bound its ports.
struct CoordinatorPorts {
  int32_t http = 0;
  int32_t cluster = 0;
};

std::vector<std::string> CoordinatorCommand(const std::string& program, const ServeOptions& options);

// One rank directly; several through mpirun, on this machine or on options.hosts. `as_root`: mpirun must be
// told.
std::vector<std::string> WorkersCommand(const std::string& program, const ServeOptions& options,
                                        const CoordinatorPorts& ports, bool as_root);

// What a person types on the machine of a rank that is started by hand.
std::vector<std::string> ExternalWorkerCommand(const ServeOptions& options, const CoordinatorPorts& ports);

// Where a worker finds the coordinator: the host of cluster_address (loopback unless set) and the port that
// was bound.
std::string CoordinatorAddress(const ServeOptions& options, const CoordinatorPorts& ports);

}  // namespace deeprack::cli
