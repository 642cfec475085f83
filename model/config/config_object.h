// Reads config.json and generation_config.json from JSON objects: parsed from the file, or built from a
// GGUF's metadata with the same keys. So one strict reader decides for both formats.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

// As ParseModelConfig and ParseGenerationConfig. Every message begins with `where`.
absl::StatusOr<ModelConfig> ReadModelConfig(const nlohmann::json& object, const std::string& where);
absl::StatusOr<GenerationDefaults> ReadGenerationConfig(const nlohmann::json& object,
                                                        const std::string& where);

}  // namespace deeprack::model
