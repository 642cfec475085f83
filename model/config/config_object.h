// The checks of config.json and generation_config.json on objects that are already there: parsed from the
// file, or put together from another format's metadata under the same keys, so that one strict reader
// decides.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/config/model_config.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

// As ParseModelConfig and ParseGenerationConfig; `where` stands before every message.
absl::StatusOr<ModelConfig> ReadModelConfig(const nlohmann::json& object, const std::string& where);
absl::StatusOr<GenerationDefaults> ReadGenerationConfig(const nlohmann::json& object,
                                                        const std::string& where);

}  // namespace deeprack::model
