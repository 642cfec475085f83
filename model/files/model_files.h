// Reads a model's config and sampling defaults from a Hugging Face folder or a GGUF.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/config/model_config.h"

namespace deeprack::model {

// Reads config.json of the folder `path`, or the metadata of the GGUF `path`. NotFound: neither exists.
// InvalidArgument: the config cannot be honoured. DataLoss: the GGUF is damaged. Messages begin with the
// file's name.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path);

// Reads generation_config.json of the folder, if there is one, or the GGUF's metadata. Errors as
// LoadModelConfig.
absl::StatusOr<GenerationDefaults> LoadGenerationDefaults(const std::string& path);

// The model's default name: the name of the folder, or the GGUF's name without ".gguf" and a split's numbers.
std::string ModelNameOf(const std::string& path);

}  // namespace deeprack::model
