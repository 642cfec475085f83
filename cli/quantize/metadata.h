// All metadata of the GGUF file that `deeprack quantize` writes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "checkpoint/gguf_metadata.h"
#include "cli/quantize/quant_type.h"
#include "model/config/model_config.h"

namespace deeprack::cli {

// The metadata for the model at `path`, a Hugging Face folder or a GGUF, whose config is `config`. Sizes and
// types are written anew. Sampling, tokenizer and chat template come from the folder's files, or are copied
// from the GGUF. Errors: those of AddModelMetadata and AddTokenizerMetadata.
absl::Status AddMetadata(const std::string& path, const model::ModelConfig& config, QuantType type,
                         checkpoint::GgufMetadata& metadata);

}  // namespace deeprack::cli
