// The model as the api sees it: tokenizer, template, limits, defaults. Immutable but for the context's
// limit.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/chat/chat_template.h"
#include "coordinator/tokenizer/tokenizer.h"
#include "model/config/model_config.h"

namespace deeprack::coordinator {

inline constexpr int32_t kDefaultMaxLogprobs = 20;  // OpenAI's

struct ServedModel {
  std::string name;  // the id in /v1/models
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // absent: the tokenizer has no chat tokens
  model::GenerationDefaults defaults;
  std::vector<TokenId> eos_token_ids;
  std::optional<TokenId> bos_token_id;         // put before a text prompt of /v1/completions
  int32_t vocab_size = 0;                      // of the model: ids below it are valid
  bool dummy_weights = false;                  // answers are noise
  bool latent_attention = false;               // of the model, not grouped-query attention
  std::atomic<int32_t> max_context{0};         // prompt and output; lowered once if the KV cache holds less
  int32_t max_logprobs = kDefaultMaxLogprobs;  // a request may ask for so many at each position
  int64_t created = 0;                         // Unix seconds
};

struct ServedModelOptions {
  std::string path;
  std::string name;         // empty: model::ModelNameOf
  int32_t max_context = 0;  // 0: the config's max_position_embeddings
  int32_t max_logprobs = kDefaultMaxLogprobs;
  bool use_generation_config = true;
  bool dummy_weights = false;
  int64_t created = 0;
};

// Reads tokenizer.json, tokenizer_config.json and generation_config.json beside a config.json already read;
// the last two may be missing. Or what a GGUF says of them. Errors name the file.
absl::StatusOr<std::shared_ptr<ServedModel>> LoadServedModel(const ServedModelOptions& options,
                                                             const model::ModelConfig& config);

// The file's bytes. NotFound; InvalidArgument beyond `max_bytes`.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes = 64 << 20);

}  // namespace deeprack::coordinator
