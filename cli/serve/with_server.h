// Work that needs a server: one that is started for it and stopped afterwards, or one that runs already.
#pragma once

#include <functional>
#include <string>

#include "cli/http/http_client.h"
#include "cli/serve/serve_options.h"

namespace deeprack::cli {

// Runs on a thread of its own; returns the exit code. It should end soon once `cancelled` says so.
using ServerWork = std::function<int(const Url& url, const Cancelled& cancelled)>;

// Checks the options, brings the cluster up, works, stops the cluster. Returns the work's exit code, or says
// on standard error why serving ended and returns that code; 130 after Ctrl-C or SIGTERM.
int WithCluster(const ServeOptions& options, const ServerWork& work);

// The same with a server that is there already.
int WithServer(const std::string& url, const ServerWork& work);

}  // namespace deeprack::cli
