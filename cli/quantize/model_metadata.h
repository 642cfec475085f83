// The entries of a GGUF file that describe the model, made from a Hugging Face config: the keys that
// llama.cpp's converter writes for deepseek2, llama and qwen2.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "checkpoint/gguf_metadata.h"
#include "cli/quantize/quant_type.h"
#include "model/config/model_config.h"

namespace deeprack::cli {

// GGUF's name of the architecture: "deepseek2", "llama", "qwen2".
std::string GgufArchitecture(const model::ModelConfig& config);

// general.*, and sizes, attention, rope and experts under the architecture's name. FailedPrecondition: a
// config that no GGUF entry can describe.
absl::Status AddModelMetadata(const model::ModelConfig& config, const std::string& name, QuantType type,
                              checkpoint::GgufMetadata& metadata);

// general.sampling.*
void AddSamplingMetadata(const model::GenerationDefaults& defaults, checkpoint::GgufMetadata& metadata);

}  // namespace deeprack::cli
