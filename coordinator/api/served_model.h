// The model as the API needs it: tokenizer, chat template, limits, defaults. Only max_context changes after
// loading.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "constraint/vocabulary.h"
#include "coordinator/api/generation_request.h"
#include "coordinator/chat/chat_template.h"
#include "coordinator/tokenizer/tokenizer.h"
#include "model/config/model_config.h"

namespace deeprack::coordinator {

inline constexpr int32_t kDefaultMaxLogprobs = 20;  // as OpenAI

// The name of the field that has a chat's reasoning.
enum class ReasoningField : uint8_t {
  kReasoningContent,  // DeepSeek's name
  kReasoning,         // vLLM's name
  kBoth,              // both names, each with the whole reasoning
};

// The field named "reasoning_content", "reasoning" or "both". nullopt: another name.
std::optional<ReasoningField> ReasoningFieldNamed(std::string_view name);

struct ServedModel {
  std::string name;                        // the first id in /v1/models
  std::vector<std::string> further_names;  // the other ids
  std::string path;                        // of the folder or file
  std::string fingerprint =
      "deeprack";                       // system_fingerprint: the same for the same program, model and layout
  std::string tokenizer_config = "{}";  // ReadTokenizerConfig
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // absent: the model has no template and no tokens of R1's chats
  model::GenerationDefaults defaults;
  std::vector<TokenId> eos_token_ids;   // below vocab_size
  std::optional<TokenId> bos_token_id;  // absent: text prompts do not begin with bos
  int32_t vocab_size = 0;               // the model's: ids are 0 to vocab_size - 1
  bool dummy_weights = false;           // answers are noise
  bool ignore_unknown_fields = false;   // of requests; false: they are refused
  bool priorities = false;              // requests may have a priority other than 0
  ReasoningField reasoning_field = ReasoningField::kReasoningContent;
  // What constraints of answers are compiled with. Null: the model has no end token.
  std::shared_ptr<const constraint::Vocabulary> vocabulary;
  bool latent_attention = false;  // MLA; false: grouped-query attention
  int32_t layers = 1;             // without the MTP layer
  // Tokens of prompt and answer. Each load sets it: no more than the model has and the KV cache holds.
  std::atomic<int32_t> max_context{0};
  int32_t max_logprobs = kDefaultMaxLogprobs;  // most that a request may ask for at each position
  int64_t created = 0;                         // Unix seconds

  // The model's name that equals `text` when slashes at the ends and doubled slashes, which paths lose, do
  // not count. Null: the model has no such name.
  const std::string* FindName(absl::string_view text) const;

  // The name that the answer to `request` has: the one that the request asked for.
  const std::string& NameFor(const GenerationRequest& request) const {
    return request.model.empty() ? name : request.model;
  }
};

struct ServedModelOptions {
  std::string path;
  std::string names;          // separated by commas; empty: model::ModelNameOf
  std::string chat_template;  // a file with a Jinja template; empty: the model's own template
  int32_t max_context = 0;    // 0: the config's max_position_embeddings
  int32_t max_logprobs = kDefaultMaxLogprobs;
  ReasoningField reasoning_field = ReasoningField::kReasoningContent;
  bool use_generation_config = true;
  bool dummy_weights = false;
  bool ignore_unknown_fields = false;
  bool priorities = false;
  int64_t created = 0;
};

// `config` is the model's config.json, read before. Reads tokenizer.json, and if they are there
// tokenizer_config.json, chat_template.jinja and generation_config.json; from a GGUF, the metadata of the
// same meaning. Errors name the file.
absl::StatusOr<std::shared_ptr<ServedModel>> LoadServedModel(const ServedModelOptions& options,
                                                             const model::ModelConfig& config);

// The bytes of each token of `model`; empty for tokens that are no text: special tokens, markup such as
// <think>, ids without a token. What constraint::Vocabulary::Make takes.
std::vector<std::string> TokenTexts(const ServedModel& model);

// The file's bytes. Errors: NotFound; InvalidArgument if the file is larger than `max_bytes`.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes = 64 << 20);
// As ReadTextFile; empty if there is no such file.
absl::StatusOr<std::string> ReadTextFileIfThere(const std::string& path, size_t max_bytes = 64 << 20);

}  // namespace deeprack::coordinator
