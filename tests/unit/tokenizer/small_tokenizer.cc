#include "tests/unit/tokenizer/small_tokenizer.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "coordinator/tokenizer/byte_level.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {

using Json = nlohmann::json;

Json SmallTokenizer(const std::vector<std::string>& merges) {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string symbol;
    AppendUtf8(ByteToSymbol(byte), &symbol);
    vocab[symbol] = byte;
  }
  for (const std::string& merge : merges) {
    std::string token = merge;
    token.erase(token.find(' '), 1);
    const size_t id = vocab.size();
    vocab.emplace(token, id);
  }
  Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

TokenId AddToken(Json* description, const std::string& content, bool special, bool normalized) {
  const size_t id = (*description)["model"]["vocab"].size() + (*description)["added_tokens"].size();
  (*description)["added_tokens"].push_back(
      {{"id", id}, {"content", content}, {"special", special}, {"normalized", normalized}});
  return static_cast<TokenId>(id);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadText(const std::string& text) {
  static int count = 0;
  const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                     absl::StrCat("deeprack_tokenizer_", getpid(), "_", count++, ".json");
  std::ofstream(path, std::ios::binary) << text;
  auto tokenizer = Tokenizer::Load(path.string());
  std::filesystem::remove(path);
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const Json& description) {
  return LoadText(description.dump());
}

}  // namespace deeprack::coordinator
