#include "coordinator/api/served_model.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "coordinator/api/tokenizer_config.h"
#include "coordinator/tokenizer/gguf_tokenizer.h"
#include "model/files/model_files.h"
#include "model/gguf/gguf_model.h"
#include "model/step/sampling_check.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {
namespace {

// True if the ids of a text begin with bos. True without add_bos_token in tokenizer_config.json, as for
// LlamaTokenizerFast.
absl::StatusOr<bool> ReadAddBos(const std::string& model) {
  if (model::IsGgufPath(model)) {
    DR_ASSIGN_OR_RETURN(const model::GgufModel gguf, model::GgufModel::Open(model));
    return GgufAddsBos(gguf);
  }
  const std::string path = (std::filesystem::path(model) / "tokenizer_config.json").string();
  const absl::StatusOr<std::string> text = ReadTextFile(path);
  if (absl::IsNotFound(text.status())) return true;
  DR_RETURN_IF_ERROR(text.status());
  const auto config = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, " is not a JSON object"));
  const auto found = config.find("add_bos_token");
  return found == config.end() || !found->is_boolean() || found->get<bool>();
}

// The template that the user names, or the model's own. Special tokens are the model's in both cases.
absl::StatusOr<ChatTemplateText> ReadChatTemplate(const std::string& model, const std::string& chosen_file) {
  ChatTemplateText found;
  if (model::IsGgufPath(model)) {
    DR_ASSIGN_OR_RETURN(const model::GgufModel gguf, model::GgufModel::Open(model));
    found = FindChatTemplate(gguf);
  } else {
    const std::filesystem::path folder = model;
    DR_ASSIGN_OR_RETURN(const std::string config,
                        ReadTextFileIfThere((folder / "tokenizer_config.json").string()));
    DR_ASSIGN_OR_RETURN(const std::string jinja,
                        ReadTextFileIfThere((folder / "chat_template.jinja").string()));
    DR_ASSIGN_OR_RETURN(found, FindChatTemplate(config, jinja));
  }
  if (chosen_file.empty()) return found;
  DR_ASSIGN_OR_RETURN(found.text, ReadTextFile(chosen_file));
  found.with_tools.clear();
  found.origin = chosen_file;
  found.chosen_by_user = true;
  return found;
}

// `text` without empty segments between slashes.
std::string WithoutEmptySegments(absl::string_view text) {
  return absl::StrJoin(absl::StrSplit(text, '/', absl::SkipEmpty()), "/");
}

}  // namespace

const std::string* ServedModel::FindName(absl::string_view text) const {
  const std::string wanted = WithoutEmptySegments(text);
  if (WithoutEmptySegments(name) == wanted) return &name;
  for (const std::string& further : further_names) {
    if (WithoutEmptySegments(further) == wanted) return &further;
  }
  return nullptr;
}

std::optional<ReasoningField> ReasoningFieldNamed(std::string_view name) {
  if (name == "reasoning_content") return ReasoningField::kReasoningContent;
  if (name == "reasoning") return ReasoningField::kReasoning;
  if (name == "both") return ReasoningField::kBoth;
  return std::nullopt;
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return absl::NotFoundError(absl::StrCat(path, ": ", error.message()));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", size, " bytes; at most ", max_bytes, " are read"));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    return absl::NotFoundError(absl::StrCat(path, " cannot be read"));
  }
  return text;
}

absl::StatusOr<std::string> ReadTextFileIfThere(const std::string& path, size_t max_bytes) {
  absl::StatusOr<std::string> text = ReadTextFile(path, max_bytes);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

std::vector<std::string> TokenTexts(const ServedModel& model) {
  std::vector<std::string> texts(std::min(model.vocab_size, model.tokenizer->vocab_size()));
  for (size_t id = 0; id < texts.size(); ++id) {
    const auto token = static_cast<TokenId>(id);
    if (!model.tokenizer->IsControl(token))
      texts[id] = model.tokenizer->TokenBytes(token, /*show_special=*/false);
  }
  return texts;
}

absl::StatusOr<std::shared_ptr<ServedModel>> LoadServedModel(const ServedModelOptions& options,
                                                             const model::ModelConfig& config) {
  auto served = std::make_shared<ServedModel>();
  served->created = options.created;
  served->path = options.path;
  served->further_names = absl::StrSplit(options.names, ',', absl::SkipWhitespace());
  for (std::string& name : served->further_names) absl::StripAsciiWhitespace(&name);
  if (served->further_names.empty()) served->further_names.push_back(model::ModelNameOf(options.path));
  served->name = served->further_names.front();
  served->further_names.erase(served->further_names.begin());
  served->reasoning_field = options.reasoning_field;

  DR_ASSIGN_OR_RETURN(served->tokenizer, Tokenizer::Load(options.path));
  DR_ASSIGN_OR_RETURN(const ChatTemplateText chat_text,
                      ReadChatTemplate(options.path, options.chat_template));
  absl::StatusOr<ChatTemplate> chat = ChatTemplate::Create(served->tokenizer.get(), chat_text);
  if (!chat.ok() && !absl::IsFailedPrecondition(chat.status())) return chat.status();
  if (chat.ok()) served->chat_template = *std::move(chat);
  DR_ASSIGN_OR_RETURN(const bool add_bos, ReadAddBos(options.path));
  if (add_bos) served->bos_token_id = static_cast<TokenId>(config.bos_token_id);

  if (options.use_generation_config) {
    DR_ASSIGN_OR_RETURN(served->defaults, model::LoadGenerationDefaults(options.path));
  }
  for (const int64_t id :
       served->defaults.eos_token_id.empty() ? config.eos_token_id : served->defaults.eos_token_id) {
    // An end token beyond the vocabulary can never be drawn.
    if (id >= 0 && id < config.vocab_size) served->eos_token_ids.push_back(static_cast<TokenId>(id));
  }

  DR_ASSIGN_OR_RETURN(
      served->tokenizer_config,
      ReadTokenizerConfig(
          options.path, *served->tokenizer, served->bos_token_id,
          served->eos_token_ids.empty() ? std::nullopt : std::optional(served->eos_token_ids.front())));

  served->vocab_size = static_cast<int32_t>(config.vocab_size);
  served->dummy_weights = options.dummy_weights;
  served->ignore_unknown_fields = options.ignore_unknown_fields;
  served->priorities = options.priorities;
  served->latent_attention = config.has_latent_attention();
  served->layers = static_cast<int32_t>(config.num_hidden_layers);
  served->max_logprobs = std::min({options.max_logprobs, served->vocab_size, model::kMostTopLogprobs});
  served->max_context =
      options.max_context > 0 ? options.max_context : static_cast<int32_t>(config.max_position_embeddings);
  if (options.max_context > config.max_position_embeddings) {
    return absl::InvalidArgumentError(absl::StrCat("--max-context ", options.max_context,
                                                   " is beyond the model's max_position_embeddings of ",
                                                   config.max_position_embeddings));
  }
  if (!served->eos_token_ids.empty()) {
    DR_ASSIGN_OR_RETURN(
        served->vocabulary,
        constraint::Vocabulary::Make(TokenTexts(*served), served->vocab_size, served->eos_token_ids));
  }
  return served;
}

}  // namespace deeprack::coordinator
