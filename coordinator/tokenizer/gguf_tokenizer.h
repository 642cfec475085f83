// The tokenizer that a GGUF's metadata describes:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer
#pragma once

#include "absl/status/statusor.h"
#include "coordinator/tokenizer/tokenizer_spec.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::coordinator {

// Byte-level vocabularies (tokenizer.ggml.model gpt2) with the splits that tokenizer.ggml.pre names: those of
// DeepSeek V3 and R1, DeepSeek LLM, Qwen2 and Llama 3. The ids of any text are those that the tokenizer.json
// of the same vocabulary gives. Every control token counts as special; tokens that only fill the vocabulary
// up are left out. InvalidArgument: another kind, or a vocabulary that is not whole.
absl::StatusOr<TokenizerSpec> ReadGgufTokenizer(const model::GgufModel& model);

// Whether encoding a text begins with bos: tokenizer.ggml.add_bos_token, or what the vocabulary's kind does.
absl::StatusOr<bool> GgufAddsBos(const model::GgufModel& model);

}  // namespace deeprack::coordinator
