// Reads the tokenizer in a GGUF's metadata:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer
#pragma once

#include "absl/status/statusor.h"
#include "coordinator/tokenizer/tokenizer_spec.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::coordinator {

// Reads byte-level vocabularies (tokenizer.ggml.model gpt2) whose tokenizer.ggml.pre is that of DeepSeek V3
// and R1, DeepSeek LLM, Qwen2 or Llama 3. Every text gets the same ids as with the model's tokenizer.json.
// Control tokens are special. Tokens that only fill the vocabulary up are left out. Errors: InvalidArgument
// for another kind, or a vocabulary with missing parts.
absl::StatusOr<TokenizerSpec> ReadGgufTokenizer(const model::GgufModel& model);

// True if the ids of a text begin with bos: tokenizer.ggml.add_bos_token, or the default of the
// pre-tokenizer.
absl::StatusOr<bool> GgufAddsBos(const model::GgufModel& model);

}  // namespace deeprack::coordinator
