// All metadata of the GGUF file that `deeprack quantize` writes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "checkpoint/gguf_metadata.h"
#include "cli/quantize/quant_type.h"
#include "model/config/model_config.h"

namespace deeprack::cli {

// Of the Hugging Face folder or GGUF `path`, whose config is `config`. What the file says about sizes and
// types is written anew; sampling, tokenizer and chat template are those of the folder's files, or another
// GGUF's entries as they are. Errors of AddModelMetadata and AddTokenizerMetadata.
absl::Status AddMetadata(const std::string& path, const model::ModelConfig& config, QuantType type,
                         checkpoint::GgufMetadata& metadata);

}  // namespace deeprack::cli
