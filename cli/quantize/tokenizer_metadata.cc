#include "cli/quantize/tokenizer_metadata.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace deeprack::cli {
namespace {

using checkpoint::GgufMetadata;
using nlohmann::json;

// The values of tokenizer.ggml.token_type.
enum TokenType : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

absl::Status Unfit(const std::string& what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, "; a byte-level BPE as DeepSeek's, Qwen2's or Llama 3's is needed"));
}

// llama.cpp's name of a pre-tokenizer, and its regexes in the order in which they split.
struct PreTokenizer {
  std::string_view name;
  std::vector<std::string_view> patterns;
};
const std::array<PreTokenizer, 3>& PreTokenizers() {
  static const std::array<PreTokenizer, 3> kAll = {{
      {"deepseek-v3",
       {R"(\p{N}{1,3})", "[一-龥\u3040-ゟ゠-ヿ]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
        "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
      {"qwen2",
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}},
      {"llama-bpe",
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}},
  }};
  return kAll;
}

// `object`[key] if that is an array or an object, otherwise an empty one.
const json& Part(const json& object, const char* key) {
  static const json kEmpty = json::array();
  if (!object.is_object()) return kEmpty;
  const auto found = object.find(key);
  return found != object.end() && found->is_structured() ? *found : kEmpty;
}

std::string Text(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool Flag(const json& object, const char* key) {
  if (!object.is_object()) return false;
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

class TokenizerReader {
 public:
  TokenizerReader(const json& tokenizer, const json& config, int64_t vocab_size)
      : tokenizer_(tokenizer), config_(config), vocab_size_(vocab_size) {}

  absl::Status Read(const model::ModelConfig& model, GgufMetadata& metadata) {
    if (Text(Part(tokenizer_, "model"), "type") != "BPE" ||
        Text(Part(tokenizer_, "decoder"), "type") != "ByteLevel") {
      return Unfit("tokenizer.json: model is no BPE or decoder no ByteLevel");
    }
    DR_ASSIGN_OR_RETURN(const std::string pre, PreName());
    DR_RETURN_IF_ERROR(ReadTokens());
    DR_RETURN_IF_ERROR(ReadMerges());
    metadata.AddString("tokenizer.ggml.model", "gpt2");
    metadata.AddString("tokenizer.ggml.pre", pre);
    metadata.AddStrings("tokenizer.ggml.tokens", tokens_);
    metadata.AddInt32s("tokenizer.ggml.token_type", types_);
    metadata.AddStrings("tokenizer.ggml.merges", merges_);
    AddSpecialTokens(model, metadata);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::string> PreName() const {
    std::vector<std::string> patterns;
    for (const json& step : Part(Part(tokenizer_, "pre_tokenizer"), "pretokenizers")) {
      if (Text(step, "type") == "Split") patterns.push_back(Text(Part(step, "pattern"), "Regex"));
    }
    for (const PreTokenizer& known : PreTokenizers()) {
      if (!std::equal(patterns.begin(), patterns.end(), known.patterns.begin(), known.patterns.end()))
        continue;
      // The distills of R1 have their own name in llama.cpp. Their bos token identifies them.
      const bool distill = absl::StartsWith(SpecialToken("bos_token"), "<｜");
      return std::string(known.name == "qwen2" && distill ? "deepseek-r1-qwen" : known.name);
    }
    return Unfit("tokenizer.json: its pre_tokenizer is none that GGUF files have a name for");
  }

  absl::Status ReadTokens() {
    tokens_.resize(static_cast<size_t>(vocab_size_));
    types_.assign(tokens_.size(), kUnused);
    for (int64_t id = 0; id < vocab_size_; ++id)
      tokens_[static_cast<size_t>(id)] = absl::StrCat("[PAD", id, "]");
    for (const auto& [token, id] : Part(Part(tokenizer_, "model"), "vocab").items()) {
      DR_RETURN_IF_ERROR(SetToken(token, id, kNormal));
    }
    for (const json& added : Part(tokenizer_, "added_tokens")) {
      const std::string token = Text(added, "content");
      const bool control = Flag(added, "special") || LooksSpecial(token);
      DR_RETURN_IF_ERROR(SetToken(token, added.value("id", json()), control ? kControl : kUserDefined));
    }
    return absl::OkStatus();
  }

  absl::Status SetToken(const std::string& token, const json& id, TokenType type) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size_) {
      return absl::FailedPreconditionError(absl::StrCat("tokenizer.json: token \"", token, "\" has the id ",
                                                        id.dump(), "; config.json's vocab_size is ",
                                                        vocab_size_));
    }
    const auto index = static_cast<size_t>(id.get<int64_t>());
    tokens_[index] = token;
    types_[index] = type;
    ids_[token] = id.get<int64_t>();
    return absl::OkStatus();
  }

  // True for an added token that llama.cpp's converter takes for markup, whatever the token's entry says.
  static bool LooksSpecial(std::string_view token) {
    const std::string text(token);
    return (absl::StartsWith(text, "<|") && absl::EndsWith(text, "|>")) ||
           (absl::StartsWith(text, "<｜") && absl::EndsWith(text, "｜>"));
  }

  // Reads merges of the form "a b" and of the form ["a", "b"]. In the second form a space within a part is
  // replaced by its byte-level BPE character.
  absl::Status ReadMerges() {
    for (const json& merge : Part(Part(tokenizer_, "model"), "merges")) {
      if (merge.is_string()) {
        merges_.push_back(merge.get<std::string>());
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        merges_.push_back(absl::StrCat(absl::StrReplaceAll(merge[0].get<std::string>(), {{" ", "Ġ"}}), " ",
                                       absl::StrReplaceAll(merge[1].get<std::string>(), {{" ", "Ġ"}})));
      } else {
        return absl::FailedPreconditionError(
            absl::StrCat("tokenizer.json: merge ", merges_.size(), " is no pair of strings: ", merge.dump()));
      }
    }
    return absl::OkStatus();
  }

  // In tokenizer_config.json a special token is text, or an object with `content`.
  std::string SpecialToken(const char* key) const {
    const std::string text = Text(config_, key);
    return text.empty() ? Text(Part(config_, key), "content") : text;
  }

  // True when an encoded text begins with bos (or ends in eos). tokenizer_config.json decides; if it has no
  // such flag, the post-processor decides.
  bool Adds(const char* flag, const std::string& token) const {
    if (config_.is_object() && config_.contains(flag)) return Flag(config_, flag);
    const json& post_processor = Part(tokenizer_, "post_processor");
    std::vector<const json*> steps = {&post_processor};
    for (const json& step : Part(post_processor, "processors")) steps.push_back(&step);
    for (const json* step : steps) {
      for (const json& part : Part(*step, "single")) {
        if (!token.empty() && Text(Part(part, "SpecialToken"), "id") == token) return true;
      }
    }
    return false;
  }

  void AddSpecialTokens(const model::ModelConfig& model, GgufMetadata& metadata) const {
    const auto add = [&](const char* name, const char* key, std::optional<int64_t> otherwise) {
      const std::string token = SpecialToken(key);
      const auto found = ids_.find(token);
      const std::optional<int64_t> id = found != ids_.end() ? found->second : otherwise;
      if (id && *id < vocab_size_) {
        metadata.AddUint32(absl::StrCat("tokenizer.ggml.", name, "_token_id"), static_cast<uint32_t>(*id));
      }
    };
    add("bos", "bos_token", model.bos_token_id);
    add("eos", "eos_token",
        model.eos_token_id.empty() ? std::nullopt : std::optional<int64_t>(model.eos_token_id[0]));
    add("padding", "pad_token", std::nullopt);
    metadata.AddBool("tokenizer.ggml.add_bos_token", Adds("add_bos_token", SpecialToken("bos_token")));
    metadata.AddBool("tokenizer.ggml.add_eos_token", Adds("add_eos_token", SpecialToken("eos_token")));
  }

  const json& tokenizer_;
  const json& config_;
  const int64_t vocab_size_;
  std::vector<std::string> tokens_, merges_;
  std::vector<int32_t> types_;
  absl::flat_hash_map<std::string, int64_t> ids_;
};

absl::StatusOr<json> Parse(const std::string& text, const char* file) {
  if (text.empty()) return json::object();
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return absl::FailedPreconditionError(absl::StrCat(file, ": no JSON object; the file is damaged"));
  }
  return parsed;
}

}  // namespace

absl::Status AddTokenizerMetadata(const TokenizerFiles& files, const model::ModelConfig& config,
                                  GgufMetadata& metadata) {
  if (files.tokenizer.empty()) {
    metadata.AddString("tokenizer.ggml.model", "none");
    return absl::OkStatus();
  }
  DR_ASSIGN_OR_RETURN(const json tokenizer, Parse(files.tokenizer, "tokenizer.json"));
  DR_ASSIGN_OR_RETURN(const json tokenizer_config, Parse(files.config, "tokenizer_config.json"));
  DR_RETURN_IF_ERROR(TokenizerReader(tokenizer, tokenizer_config, config.vocab_size).Read(config, metadata));
  const std::string chat_template =
      files.chat_template.empty() ? Text(tokenizer_config, "chat_template") : files.chat_template;
  if (!chat_template.empty()) metadata.AddString("tokenizer.chat_template", chat_template);
  return absl::OkStatus();
}

}  // namespace deeprack::cli
