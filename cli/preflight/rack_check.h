// `deeprack preflight`: tells before serving whether a rack is fit.
#pragma once

#include <string>
#include <vector>

#include "cli/preflight/judges.h"
#include "settings/settings.h"

namespace deeprack::cli {

struct RackCheckOptions {
  std::vector<std::string> agents;  // host:port of agents that run already; empty: they are started
  std::string version;              // of this build
  bool full_digests = false;
  bool json = false;
  double timeout = 30;  // seconds for one answer
  PreflightLimits limits;
};

// Starts agents, measures, prints. The exit code: 0 when the rack is fit, ExitCode::kUnavailable when it is
// not.
int CheckRack(const Settings& settings, const RackCheckOptions& options);

}  // namespace deeprack::cli
