// `deeprack serve`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/serve/serve_options.h"
#include "cli/serve/server_processes.h"

namespace deeprack::cli {

// Options from flags, the environment, and the file that `config` names ("": $DEEPRACK_CONFIG, or none); the
// model's place filled in when none was named. Errors: those of ResolveServeOptions and FindDemoModel.
absl::StatusOr<ServeOptions> LoadServeOptions(const Flags& flags, std::string config);

// Shows on standard error how the cluster comes up, until it is ready. nullopt: it is.
std::optional<ServeEnd> BringUp(ServerProcesses& server);

// Serves until a signal or a failure. Returns the exit code.
int Serve(const ServeOptions& options);

}  // namespace deeprack::cli
