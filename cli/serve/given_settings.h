// From the flags of a command to its settings or its server.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "cli/serve/with_server.h"
#include "settings/command_line.h"

namespace deeprack::cli {

// Runs with the settings. Without settings: writes the error on standard error. Returns the exit code.
int WithSettings(const absl::StatusOr<Settings>& settings, const std::function<int(const Settings&)>& run);

// As WithSettings, with LoadServeSettings of `given`.
int WithGivenSettings(const GivenFlags& given, const std::function<int(const Settings&)>& run);

// InvalidArgument: a server at `url` that runs already ("": none), and settings for one that is to start.
absl::Status CheckGivenServer(const std::string& url, const GivenFlags& given);

// Runs the work with the server at `url`. With the url "": with a cluster that is started with `given`, on
// any free port unless `given` names one.
int WithGivenServer(const std::string& url, GivenFlags given, const ServerWork& work);

}  // namespace deeprack::cli
