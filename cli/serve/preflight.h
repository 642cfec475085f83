// Everything that can be known to fail before a process is started: the model, its config, the layout, the
// headers of its weights, and what this build can do.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/serve/serve_options.h"
#include "model/config/model_config.h"

namespace deeprack::cli {

// The config of a model folder or GGUF. FailedPrecondition: no such folder or file, or a config that cannot
// be honoured. DataLoss: a damaged GGUF.
absl::StatusOr<model::ModelConfig> ReadModelConfig(const std::string& path);

// FailedPrecondition: the model cannot be served in this layout, with this cache or so long a context.
absl::Status CheckSuits(const model::ModelConfig& config, const ServeOptions& options);

// FailedPrecondition: model, config, layout or options. DataLoss: weights that are damaged or incomplete.
absl::Status Preflight(const ServeOptions& options);

}  // namespace deeprack::cli
