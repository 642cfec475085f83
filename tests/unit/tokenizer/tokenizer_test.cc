#include "coordinator/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/tokenizer/small_tokenizer.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Json = nlohmann::json;

std::unique_ptr<Tokenizer> Loaded(const Json& description) {
  auto tokenizer = Load(description);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

std::vector<TokenId> Encode(const Tokenizer& tokenizer, std::string_view text, bool allow_special = true) {
  auto tokens = tokenizer.Encode(text, allow_special);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  return *std::move(tokens);
}

TEST(Tokenizer, MergesWithinWordsOnly) {
  const auto tokenizer = Loaded(SmallTokenizer({"a b", "\u0120 ab", "b \u0120"}));
  EXPECT_THAT(Encode(*tokenizer, "ab ab"), ElementsAre(256, 257));
  EXPECT_THAT(Encode(*tokenizer, ""), ElementsAre());
  EXPECT_EQ(tokenizer->vocab_size(), 259);
  EXPECT_EQ(tokenizer->TokenToId("\u0120ab"), 257);
  EXPECT_EQ(tokenizer->TokenToId(" ab"), std::nullopt);
}

TEST(Tokenizer, MergesAsPairs) {
  Json description = SmallTokenizer({"a b"});
  description["model"]["merges"] = Json::parse(R"([["a", "b"]])");
  EXPECT_THAT(Encode(*Loaded(description), "ab"), ElementsAre(256));
}

TEST(Tokenizer, AllBytesOfUtf8AndBack) {
  const auto tokenizer = Loaded(SmallTokenizer({}));
  constexpr char kText[] = "\0\x01 caf\u00e9 \u4e2d\U0001F44D\n";
  const std::string text(kText, sizeof(kText) - 1);
  EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, text), false), text);
  EXPECT_EQ(Encode(*tokenizer, text).size(), text.size());
}

TEST(Tokenizer, SpecialTokensOnlyWhereAllowed) {
  Json description = SmallTokenizer({});
  const TokenId begin = AddToken(&description, "<|begin|>", /*special=*/true);
  const TokenId think = AddToken(&description, "<think>", /*special=*/false);
  const TokenId word = AddToken(&description, "cuda", /*special=*/false);
  const auto tokenizer = Loaded(description);
  EXPECT_THAT(Encode(*tokenizer, "<|begin|><think>cuda"), ElementsAre(begin, think, word));
  // Text from a user never becomes a control token. Added tokens that are words still apply.
  const auto typed = Encode(*tokenizer, "<|begin|><think>cuda", /*allow_special=*/false);
  EXPECT_EQ(typed.size(), std::string_view("<|begin|><think>").size() + 1);
  EXPECT_EQ(typed.back(), word);
  EXPECT_EQ(tokenizer->Decode(typed, false), "<|begin|><think>cuda");
}

TEST(Tokenizer, OnlyMarkedTokensAreHidden) {
  Json description = SmallTokenizer({});
  const TokenId begin = AddToken(&description, "<|begin|>", /*special=*/true);
  const TokenId think = AddToken(&description, "<think> ", /*special=*/false);
  const auto tokenizer = Loaded(description);
  EXPECT_TRUE(tokenizer->IsSpecial(begin));
  EXPECT_FALSE(tokenizer->IsSpecial(think));
  EXPECT_FALSE(tokenizer->IsSpecial(-1));
  EXPECT_EQ(tokenizer->TokenBytes(begin, false), "");
  EXPECT_EQ(tokenizer->TokenBytes(begin, true), "<|begin|>");
  EXPECT_EQ(tokenizer->TokenBytes(-1, true), "");
  EXPECT_EQ(tokenizer->TokenBytes(100'000, true), "");
  const std::vector<TokenId> ids = {begin, think, 'a', 100'000};
  EXPECT_EQ(tokenizer->Decode(ids, false), "<think> a");
}

TEST(Tokenizer, NfcComesBeforeNormalizedTokensAndAfterTheOthers) {
  Json description = SmallTokenizer({});
  description["normalizer"] = {{"type", "NFC"}};
  const TokenId normalized = AddToken(&description, "<e\u0301>", false, /*normalized=*/true);
  const TokenId raw = AddToken(&description, "[e\u0301]", false, /*normalized=*/false);
  const auto tokenizer = Loaded(description);
  EXPECT_THAT(Encode(*tokenizer, "<\u00e9>"), ElementsAre(normalized));
  EXPECT_THAT(Encode(*tokenizer, "<e\u0301>"), ElementsAre(normalized));
  EXPECT_THAT(Encode(*tokenizer, "[e\u0301]"), ElementsAre(raw));
  EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, "[\u00e9] e\u0301"), true), "[\u00e9] \u00e9");
}

// The reference's tables are those of Unicode 9: it reorders only marks that Unicode 9 has.
TEST(Tokenizer, NfcIsThatOfUnicode9) {
  Json description = SmallTokenizer({});
  description["normalizer"] = {{"type", "NFC"}};
  const auto tokenizer = Loaded(description);
  const auto normalized = [&](const std::string& text) {
    return tokenizer->Decode(Encode(*tokenizer, text), true);
  };
  EXPECT_EQ(normalized("a\u0301\u0323"), "\u1ea1\u0301");
  EXPECT_EQ(normalized("\u09a6\u09fe\u09cd"), "\u09a6\u09fe\u09cd");  // U+09FE is of Unicode 11
  EXPECT_EQ(normalized("a\u0301\u1dfb"), "\u00e1\u1dfb");             // U+1DFB, of Unicode 9
  EXPECT_EQ(normalized("a\u0345\u1dfb"), "a\u1dfb\u0345");
  EXPECT_EQ(normalized("a\u0345\u1df9"), "a\u0345\u1df9");  // U+1DF9, of Unicode 10
}

TEST(Tokenizer, IgnoreMergesPrefersWholeWords) {
  Json description = SmallTokenizer({"a b", "b c"});
  description["model"]["vocab"]["abc"] = 258;
  EXPECT_THAT(Encode(*Loaded(description), "abc"), ElementsAre(256, 'c'));
  description["model"]["ignore_merges"] = true;
  EXPECT_THAT(Encode(*Loaded(description), "abc"), ElementsAre(258));
}

TEST(Tokenizer, InvalidUtf8NamesTheByte) {
  const auto tokenizer = Loaded(SmallTokenizer({}));
  const auto tokens = tokenizer->Encode("ab\xC3(", true);
  EXPECT_EQ(tokens.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tokens.status().message()), HasSubstr("byte 2"));
}

TEST(Tokenizer, ThreadsShareOne) {
  const auto tokenizer = Loaded(SmallTokenizer({"a b", "ab ab"}));
  const auto expected = Encode(*tokenizer, "abab cab ");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) EXPECT_EQ(Encode(*tokenizer, "abab cab "), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Tokenizer, MissingFile) {
  EXPECT_EQ(Tokenizer::Load("/nonexistent/model").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace deeprack::coordinator
