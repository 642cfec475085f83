#include "coordinator/chat/chat_template_text.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTokenNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

// A token is a text, or an object with the text as its content.
void AddSpecialToken(const Json& config, const char* name, SpecialTokens& tokens) {
  const auto found = config.find(name);
  if (found == config.end()) return;
  const Json& text = found->is_object() && found->contains("content") ? (*found)["content"] : *found;
  if (text.is_string()) tokens.emplace_back(name, text.get<std::string>());
}

// The templates of a list [{name, template}, ...]: "default" and "tool_use".
bool ReadNamedTemplates(const Json& list, ChatTemplateText& found) {
  for (const Json& entry : list) {
    if (!entry.is_object() || !entry.value("name", Json()).is_string() ||
        !entry.value("template", Json()).is_string()) {
      return false;
    }
    if (entry["name"] == "default") found.text = entry["template"].get<std::string>();
    if (entry["name"] == "tool_use") found.with_tools = entry["template"].get<std::string>();
  }
  if (found.text.empty()) found.text = found.with_tools;
  return true;
}

}  // namespace

absl::StatusOr<ChatTemplateText> FindChatTemplate(std::string_view tokenizer_config,
                                                  std::string_view chat_template_jinja) {
  ChatTemplateText found;
  if (!tokenizer_config.empty()) {
    const Json config = Json::parse(tokenizer_config, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object()) return absl::InvalidArgumentError("tokenizer_config.json is not a JSON object");
    for (const char* name : kTokenNames) AddSpecialToken(config, name, found.special_tokens);
    const auto value = config.find("chat_template");
    if (value != config.end() && !value->is_null()) {
      found.origin = "tokenizer_config.json";
      if (value->is_string()) {
        found.text = value->get<std::string>();
      } else if (!value->is_array() || !ReadNamedTemplates(*value, found)) {
        return absl::InvalidArgumentError(
            "tokenizer_config.json: chat_template must be a text or a list of {\"name\", \"template\"}");
      }
    }
  }
  if (!chat_template_jinja.empty()) {
    found.text = chat_template_jinja;
    found.with_tools.clear();
    found.origin = "chat_template.jinja";
  }
  return found;
}

ChatTemplateText FindChatTemplate(const model::GgufModel& gguf) {
  ChatTemplateText found;
  const auto text = [&](const char* key) {
    const model::GgufValue* value = gguf.Find(key);
    return value == nullptr ? std::string() : std::string(value->String().value_or(""));
  };
  found.text = text("tokenizer.chat_template");
  found.with_tools = text("tokenizer.chat_template.tool_use");
  if (found.text.empty()) found.text = found.with_tools;
  found.origin = "tokenizer.chat_template";
  const model::GgufValue* tokens = gguf.Find("tokenizer.ggml.tokens");
  const auto texts = tokens == nullptr ? std::nullopt : tokens->Strings();
  constexpr std::pair<const char*, const char*> kIds[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                          {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                          {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                                          {"pad_token", "tokenizer.ggml.padding_token_id"}};
  for (const auto& [name, key] : kIds) {
    const model::GgufValue* value = gguf.Find(key);
    const std::optional<int64_t> id = value == nullptr ? std::nullopt : value->Integer();
    if (texts && id && *id >= 0 && *id < static_cast<int64_t>(texts->size())) {
      found.special_tokens.emplace_back(name, (*texts)[static_cast<size_t>(*id)]);
    }
  }
  return found;
}

}  // namespace deeprack::coordinator
