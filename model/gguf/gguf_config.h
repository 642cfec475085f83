// Converts a GGUF's metadata to a config.json with the same meaning, which config.json's strict reader then
// checks.
//
// Source of keys and meanings: llama.cpp's converter (convert_hf_to_gguf.py) and loader, for the
// architectures deepseek2 (DeepSeek V3 and R1), llama and qwen2.
#pragma once

#include "absl/status/statusor.h"
#include "model/config/model_config.h"
#include "model/gguf/gguf_model.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

// The config.json with the metadata's meaning. InvalidArgument: a key of the architecture is unknown here,
// since it may change what the model computes; or a known key has a value that is not computed here.
//
// Rules for what the metadata does not say:
// - A file without output.weight has tied embeddings.
// - A deepseek2 file of R1's sizes without the keys for expert groups (an older file) has R1's groups: 8, of
//   which 4 are chosen.
// - mscale is mscale_all_dim.
// - The last nextn_predict_layers of block_count blocks are MTP layers.
absl::StatusOr<nlohmann::json> ConfigJsonOf(const GgufModel& model);

// The config, completed from the tensors: split_kv_b, rope_freqs, and rope_interleave (a GGUF of llama stores
// the rows of queries and keys in pairs, other than Hugging Face checkpoints do). Errors: those of
// ConfigJsonOf and ReadModelConfig; DataLoss (rope_freqs of a wrong shape or with invalid values);
// InvalidArgument (both rope_freqs and YaRN).
absl::StatusOr<ModelConfig> ConfigOf(const GgufModel& model);

// Reads general.sampling.*, which newer files have. Error: InvalidArgument.
absl::StatusOr<GenerationDefaults> GenerationDefaultsOf(const GgufModel& model);

}  // namespace deeprack::model
