#include "cli/quantize/tokenizer_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <optional>

#include "absl/strings/str_cat.h"
#include "checkpoint/gguf_writer.h"
#include "model/gguf/gguf_header.h"
#include "nlohmann/json.hpp"
#include "tests/source_tree.h"
#include "tests/unit/quantize/configs.h"

namespace deeprack::cli {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::string DemoFile(const std::string& name) {
  std::ifstream file(InSourceTree("demo/model/" + name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The entries, read back from a file's header.
class Entries {
 public:
  explicit Entries(const checkpoint::GgufMetadata& metadata)
      : bytes_(checkpoint::GgufHeaderBytes(metadata, {})),
        header_(*model::ParseGgufHeader({reinterpret_cast<const std::byte*>(bytes_.data()), bytes_.size()},
                                        "test")) {}

  bool Has(const std::string& key) const { return header_.metadata.contains(key); }
  const model::GgufValue& operator[](const std::string& key) const { return header_.metadata.at(key); }
  std::string Text(const std::string& key) const { return std::string(*header_.metadata.at(key).String()); }

 private:
  std::string bytes_;
  model::GgufHeader header_;
};

absl::StatusOr<Entries> EntriesOf(const TokenizerFiles& files, const model::ModelConfig& config) {
  checkpoint::GgufMetadata metadata;
  if (const absl::Status status = AddTokenizerMetadata(files, config, metadata); !status.ok()) return status;
  return absl::StatusOr<Entries>(absl::in_place, metadata);
}

constexpr char kQwen[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kLlama[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json SmallTokenizer(const std::string& regex) {
  return {
      {"model",
       {{"type", "BPE"},
        {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}, {"Ġ", 3}}},
        {"merges", json::array({json::array({"a", "b"}), json::array({" ", "a"})})}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers", {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}}, {{"type", "ByteLevel"}}}}}},
      {"added_tokens",
       {{{"id", 5}, {"content", "<s>"}, {"special", true}},
        {{"id", 6}, {"content", "<|eot|>"}, {"special", false}},
        {{"id", 7}, {"content", "<think>"}, {"special", false}}}}};
}

model::ModelConfig SmallConfig() {
  model::ModelConfig config;
  config.vocab_size = 9;
  config.bos_token_id = 5;
  config.eos_token_id = {6, 7};
  return config;
}

TEST(TokenizerMetadata, OfTheDemoModel) {
  model::ModelConfig config;
  config.vocab_size = 520;  // eight more than the tokenizer has
  const auto entries = EntriesOf(
      {.tokenizer = DemoFile("tokenizer.json"), .config = DemoFile("tokenizer_config.json")}, config);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->Text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(entries->Text("tokenizer.ggml.pre"), "deepseek-v3");
  const auto tokens = *(*entries)["tokenizer.ggml.tokens"].Strings();
  const auto types = *(*entries)["tokenizer.ggml.token_type"].Integers();
  ASSERT_EQ(tokens.size(), 520u);
  ASSERT_EQ(types.size(), 520u);
  EXPECT_EQ(tokens[0], "<｜begin▁of▁sentence｜>");
  EXPECT_EQ(types[0], 3);
  EXPECT_EQ(types[3], 1);
  EXPECT_EQ(tokens[499], "<｜User｜>");
  EXPECT_EQ(types[499], 3) << "markup, though the file does not call it special";
  EXPECT_EQ(tokens[519], "[PAD519]");
  EXPECT_EQ(types[519], 5);
  EXPECT_EQ((*entries)["tokenizer.ggml.bos_token_id"].Integer(), 0);
  EXPECT_EQ((*entries)["tokenizer.ggml.eos_token_id"].Integer(), 1);
  EXPECT_EQ((*entries)["tokenizer.ggml.add_bos_token"].Bool(), true);
  EXPECT_EQ((*entries)["tokenizer.ggml.add_eos_token"].Bool(), false);
  EXPECT_THAT(entries->Text("tokenizer.chat_template"), HasSubstr("<｜Assistant｜>"));
}

TEST(TokenizerMetadata, PairsOfMergesAndTypesOfAddedTokens) {
  const auto entries = EntriesOf({.tokenizer = SmallTokenizer(kLlama).dump()}, SmallConfig());
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->Text("tokenizer.ggml.pre"), "llama-bpe");
  EXPECT_THAT(*(*entries)["tokenizer.ggml.tokens"].Strings(),
              ElementsAre("a", "b", "ab", "Ġ", "[PAD4]", "<s>", "<|eot|>", "<think>", "[PAD8]"));
  EXPECT_THAT(*(*entries)["tokenizer.ggml.token_type"].Integers(), ElementsAre(1, 1, 1, 1, 5, 3, 3, 4, 5));
  EXPECT_THAT(*(*entries)["tokenizer.ggml.merges"].Strings(), ElementsAre("a b", "Ġ a"));
  // Without a tokenizer_config.json: the values of the model's config.
  EXPECT_EQ((*entries)["tokenizer.ggml.bos_token_id"].Integer(), 5);
  EXPECT_EQ((*entries)["tokenizer.ggml.eos_token_id"].Integer(), 6);
  EXPECT_EQ((*entries)["tokenizer.ggml.add_bos_token"].Bool(), false);
  EXPECT_FALSE(entries->Has("tokenizer.chat_template"));
}

TEST(TokenizerMetadata, QwensPreTokenizerHasTwoNames) {
  const std::string tokenizer = SmallTokenizer(kQwen).dump();
  const auto of = [&](const std::string& config) {
    const auto entries = EntriesOf({.tokenizer = tokenizer, .config = config}, SmallConfig());
    return entries.ok() ? entries->Text("tokenizer.ggml.pre") : entries.status().ToString();
  };
  EXPECT_EQ(of(R"({"bos_token": {"content": "<｜begin▁of▁sentence｜>"}})"), "deepseek-r1-qwen");
  EXPECT_EQ(of(R"({"bos_token": null})"), "qwen2");
}

TEST(TokenizerMetadata, WhetherBosIsAdded) {
  json tokenizer = SmallTokenizer(kLlama);
  tokenizer["post_processor"] = {
      {"type", "Sequence"},
      {"processors",
       {{{"type", "TemplateProcessing"},
         {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}}}}};
  const auto adds = [&](const std::string& config) {
    const auto entries = EntriesOf({.tokenizer = tokenizer.dump(), .config = config}, SmallConfig());
    return *(*entries)["tokenizer.ggml.add_bos_token"].Bool();
  };
  EXPECT_TRUE(adds(R"({"bos_token": "<s>"})"));
  EXPECT_FALSE(adds(R"({"bos_token": "<s>", "add_bos_token": false})"));
  EXPECT_FALSE(adds(R"({"bos_token": "<think>"})"));
}

TEST(TokenizerMetadata, AChatTemplateOfItsOwnFileWins) {
  const auto entries = EntriesOf({.tokenizer = SmallTokenizer(kLlama).dump(),
                                  .config = R"({"chat_template": "old"})",
                                  .chat_template = "new"},
                                 SmallConfig());
  EXPECT_EQ(entries->Text("tokenizer.chat_template"), "new");
}

TEST(TokenizerMetadata, AModelWithoutOne) {
  const auto entries = EntriesOf({}, SmallConfig());
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->Text("tokenizer.ggml.model"), "none");
  EXPECT_FALSE(entries->Has("tokenizer.ggml.tokens"));
}

TEST(TokenizerMetadata, Refusals) {
  const auto message = [](json tokenizer) {
    const auto entries = EntriesOf({.tokenizer = tokenizer.dump()}, SmallConfig());
    EXPECT_TRUE(absl::IsFailedPrecondition(entries.status())) << entries.status();
    return std::string(entries.status().message());
  };
  EXPECT_THAT(message(SmallTokenizer("\\w+")),
              HasSubstr("pre_tokenizer is none that GGUF files have a name for"));
  json unigram = SmallTokenizer(kLlama);
  unigram["model"]["type"] = "Unigram";
  EXPECT_THAT(message(unigram), HasSubstr("no BPE"));
  json large = SmallTokenizer(kLlama);
  large["added_tokens"][0]["id"] = 9;
  EXPECT_THAT(message(large), HasSubstr("token \"<s>\" has the id 9; config.json's vocab_size is 9"));
  json negative = SmallTokenizer(kLlama);
  negative["model"]["vocab"]["a"] = -1;
  EXPECT_THAT(message(negative), HasSubstr("the id -1"));
  json lone = SmallTokenizer(kLlama);
  lone["model"]["merges"] = {1};
  EXPECT_THAT(message(lone), HasSubstr("merge 0 is no pair of strings: 1"));
  EXPECT_THAT(message(json::array()), HasSubstr("tokenizer.json: no JSON object"));
}

}  // namespace
}  // namespace deeprack::cli
