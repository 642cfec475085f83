// What a GGUF's metadata says about the model, put under config.json's keys and read by its strict reader.
//
// Keys and their meaning are those of llama.cpp's converter (convert_hf_to_gguf.py) and loader, for the
// architectures deepseek2 (DeepSeek V3 and R1), llama and qwen2.
#pragma once

#include "absl/status/statusor.h"
#include "model/config/model_config.h"
#include "model/gguf/gguf_model.h"
#include "nlohmann/json.hpp"

namespace deeprack::model {

// The config.json that says the same. Keys of the architecture that are not known here are refused, since
// they may change what the model computes; so are values that are known not to be computed. InvalidArgument.
//
// What the metadata leaves open: a file without output.weight ties its embeddings; a deepseek2 file of R1's
// sizes that is older than the keys for expert groups has R1's 8 groups, of which 4 are chosen; mscale is
// mscale_all_dim. MTP layers that a file may hold are no part of the config.
absl::StatusOr<nlohmann::json> ConfigJsonOf(const GgufModel& model);

// The config, with what only tensors say: split_kv_b, rope_freqs, and rope_interleave: GGUF holds the rows of
// queries and keys of llama in pairs, unlike its checkpoints. Errors: ConfigJsonOf's and ReadModelConfig's;
// DataLoss (rope_freqs that are none).
absl::StatusOr<ModelConfig> ConfigOf(const GgufModel& model);

// general.sampling.* of newer files. InvalidArgument.
absl::StatusOr<GenerationDefaults> GenerationDefaultsOf(const GgufModel& model);

}  // namespace deeprack::model
