// Checks that are made before a process is started: the settings, the model's config, the layout, the limits
// of this machine and the headers of the weights.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/config/model_config.h"
#include "settings/settings.h"

namespace deeprack::cli {

// The config of a model folder or GGUF. FailedPrecondition: no such folder or file, or a config of a model
// that this build cannot run. DataLoss: a damaged GGUF.
absl::StatusOr<model::ModelConfig> ReadModelConfig(const std::string& path);

// FailedPrecondition: the model cannot be served with the layout, KV cache type or context of the settings.
absl::Status CheckSuits(const model::ModelConfig& config, const Settings& options);

// FailedPrecondition: settings that contradict each other, an address that workers cannot reach, certificates
// that do not hold, or a machine on which mpirun cannot start.
absl::Status CheckCluster(const Settings& options);

// Errors: those of ReadModelConfig, CheckSuits, and DataLoss for weights that are damaged or incomplete.
absl::Status CheckModel(const Settings& options);

// All checks. FailedPrecondition: the settings, the config, the layout or the machine. DataLoss: weights that
// are damaged or incomplete.
absl::Status CheckStart(const Settings& options);

}  // namespace deeprack::cli
