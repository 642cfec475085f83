// A model's description wherever it lies: a Hugging Face folder or a GGUF.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/config/model_config.h"

namespace deeprack::model {

// config.json of the folder `path`, or the metadata of the GGUF `path`. NotFound: neither is there.
// InvalidArgument: it cannot be honoured. DataLoss: a damaged GGUF. Messages begin with the file.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path);

// generation_config.json of the folder, if it has one, or what the GGUF says. Errors as above.
absl::StatusOr<GenerationDefaults> LoadGenerationDefaults(const std::string& path);

// What the model is called where nobody named it: the folder's name, or the file's without what only files
// have.
std::string ModelNameOf(const std::string& path);

}  // namespace deeprack::model
