// Everything that can be known to fail before a process is started: the folder, its config, the layout, the
// headers of its weights, and what this build can do.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/serve/serve_options.h"
#include "model/config/model_config.h"

namespace deeprack::cli {

// Reads and parses folder/config.json. FailedPrecondition: no such folder or file, or a config that cannot be
// honoured.
absl::StatusOr<model::ModelConfig> ReadModelConfig(const std::string& folder);

// FailedPrecondition: folder, config, layout or options. DataLoss: weights that are damaged or incomplete.
absl::Status Preflight(const ServeOptions& options);

}  // namespace deeprack::cli
