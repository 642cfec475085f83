// `deeprack serve`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/serve/server_processes.h"
#include "settings/resolve.h"
#include "settings/settings.h"

namespace deeprack::cli {

// Makes folders absolute and fills in the demo model where no model is named. Errors: those of FindDemoModel.
absl::Status CompleteSettings(Settings& settings);

// The settings of the `deeprack` command, from flags, the environment and the YAML file at `config` ("": at
// $DEEPRACK_CONFIG, or none). Folders are made absolute; without a model, the demo model is filled in.
// Errors: those of LoadSettings and FindDemoModel.
absl::StatusOr<Settings> LoadServeSettings(const Flags& flags, const std::string& config);

// Starts the processes and shows progress on standard error until the cluster is ready. nullopt: it is ready.
std::optional<ServeEnd> BringUp(ServerProcesses& server);

// `deeprack serve`: serves until a signal or a failure. Returns the exit code.
int Serve(const Settings& options);

}  // namespace deeprack::cli
