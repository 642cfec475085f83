#include "coordinator/api/tokenizer_config.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"
#include "model/gguf/gguf_fields.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::coordinator {
namespace {

constexpr char kClass[] = "PreTrainedTokenizerFast";  // of a file that names none
constexpr size_t kMostBytes = 16 << 20;

// Replaces added tokens, which are objects with `content` and `lstrip`, by their texts.
void FlattenTokens(Json& value) {
  if (!value.is_structured()) return;
  if (value.is_object() && value.contains("lstrip") && value.contains("content") &&
      value["content"].is_string()) {
    Json content = std::move(value["content"]);
    value = std::move(content);
    return;
  }
  for (Json& part : value) FlattenTokens(part);
}

absl::StatusOr<Json> ReadFolder(const std::string& folder) {
  const std::filesystem::path files = folder;
  DR_ASSIGN_OR_RETURN(const std::string text,
                      ReadTextFileIfThere((files / "tokenizer_config.json").string(), kMostBytes));
  std::variant<Json, ApiError> parsed = ParseBody(text.empty() ? "{}" : text);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) {
    return absl::InvalidArgumentError(absl::StrCat(folder, "/tokenizer_config.json: ", error->message));
  }
  Json config = std::get<Json>(std::move(parsed));
  FlattenTokens(config);
  DR_ASSIGN_OR_RETURN(const std::string chat_template,
                      ReadTextFileIfThere((files / "chat_template.jinja").string(), kMostBytes));
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config;
}

absl::StatusOr<Json> ReadGguf(const std::string& path, const Tokenizer& tokenizer, std::optional<TokenId> bos,
                              std::optional<TokenId> eos) {
  DR_ASSIGN_OR_RETURN(const model::GgufModel gguf, model::GgufModel::Open(path));
  const auto text_of = [&](TokenId id) {
    return std::string(tokenizer.TokenBytes(id, /*show_special=*/true));
  };
  Json config = Json::object();
  config["add_bos_token"] = bos.has_value();
  if (bos) config["bos_token"] = text_of(*bos);
  if (eos) config["eos_token"] = text_of(*eos);
  if (auto text = model::GgufFields(gguf).String("tokenizer.chat_template")) config["chat_template"] = *text;
  return config;
}

}  // namespace

absl::StatusOr<std::string> ReadTokenizerConfig(const std::string& model, const Tokenizer& tokenizer,
                                                std::optional<TokenId> bos, std::optional<TokenId> eos) {
  absl::StatusOr<Json> config =
      model::IsGgufPath(model) ? ReadGguf(model, tokenizer, bos, eos) : ReadFolder(model);
  DR_RETURN_IF_ERROR(config.status());
  if (!config->contains("tokenizer_class")) (*config)["tokenizer_class"] = kClass;
  return config->dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace deeprack::coordinator
