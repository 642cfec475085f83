// Runs work with a server: with a cluster that is started for the work, or with a server that runs already.
#pragma once

#include <functional>
#include <string>

#include "cli/http/http_client.h"
#include "settings/settings.h"

namespace deeprack::cli {

// Called on a thread of its own; returns the exit code. It ends soon after `cancelled` returns true.
using ServerWork = std::function<int(const Url& url, const Cancelled& cancelled)>;

// Checks the settings, starts the cluster, runs the work, stops the cluster. Returns the work's exit code.
// When serving ends first: writes the reason on standard error and returns its exit code, 130 after a signal.
int WithCluster(const Settings& options, const ServerWork& work);

// As WithCluster, with the server at `url`.
int WithServer(const std::string& url, const ServerWork& work);

}  // namespace deeprack::cli
