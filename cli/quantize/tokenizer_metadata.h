// A folder's tokenizer as the tokenizer.ggml.* entries of a GGUF file.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "checkpoint/gguf_metadata.h"
#include "model/config/model_config.h"

namespace deeprack::cli {

// The files of a tokenizer, as text; empty where there is none.
struct TokenizerFiles {
  std::string tokenizer;      // tokenizer.json
  std::string config;         // tokenizer_config.json
  std::string chat_template;  // chat_template.jinja, which replaces the template of the config
};

// Adds a byte-level BPE whose pre-tokenizer has a name in llama.cpp: "deepseek-v3" (V3's and R1's own),
// "deepseek-r1-qwen", "qwen2" or "llama-bpe". Every id below vocab_size gets a token; an id without a token
// in the tokenizer gets an unused one ("[PAD7]"). Without a tokenizer.json, tokenizer.ggml.model is "none".
// FailedPrecondition: another kind of tokenizer, or files that do not fit each other or the vocabulary.
absl::Status AddTokenizerMetadata(const TokenizerFiles& files, const model::ModelConfig& config,
                                  checkpoint::GgufMetadata& metadata);

}  // namespace deeprack::cli
