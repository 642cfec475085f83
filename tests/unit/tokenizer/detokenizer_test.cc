#include <gtest/gtest.h>

#include <random>

#include "tests/unit/tokenizer/small_tokenizer.h"

namespace deeprack::coordinator {
namespace {

class DetokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    nlohmann::json description = SmallTokenizer({});
    special_ = AddToken(&description, "<end>", /*special=*/true);
    auto tokenizer = Load(description);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  std::unique_ptr<Tokenizer> tokenizer_;  // the id of a byte is the byte
  TokenId special_ = -1;
};

TEST_F(DetokenizerTest, HoldsBackUntilACharacterIsWhole) {
  IncrementalDetokenizer stream(tokenizer_.get());
  EXPECT_EQ(stream.Append('a'), "a");
  EXPECT_EQ(stream.Append(0xF0), "");
  EXPECT_EQ(stream.Append(0x9F), "");
  EXPECT_EQ(stream.Append(special_), "");
  EXPECT_EQ(stream.Append(0x91), "");
  EXPECT_EQ(stream.Append(0x8D), "\U0001F44D");
  EXPECT_EQ(stream.Finish(), "");
}

TEST_F(DetokenizerTest, WhatCannotBecomeACharacterIsReplacedAtOnce) {
  IncrementalDetokenizer stream(tokenizer_.get());
  EXPECT_EQ(stream.Append(0xFF), "\uFFFD");
  EXPECT_EQ(stream.Append(0xE2), "");
  EXPECT_EQ(stream.Append('a'), "\uFFFDa");
  EXPECT_EQ(stream.Append(0xE2), "");
  EXPECT_EQ(stream.Append(0x82), "");
  EXPECT_EQ(stream.Finish(), "\uFFFD");
  EXPECT_EQ(stream.Finish(), "");
}

TEST_F(DetokenizerTest, SpecialTokensOnRequest) {
  IncrementalDetokenizer hidden(tokenizer_.get());
  EXPECT_EQ(hidden.Append(special_), "");
  IncrementalDetokenizer shown(tokenizer_.get(), /*show_special=*/true);
  EXPECT_EQ(shown.Append(special_), "<end>");
}

TEST_F(DetokenizerTest, AnyTokensGiveTheTextOfDecode) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenId> ids(random() % 12);
    for (TokenId& id : ids)
      id = static_cast<TokenId>(random() % 2 == 0 ? 0x80 + random() % 0x80 : random() % 258);
    IncrementalDetokenizer stream(tokenizer_.get());
    std::string text;
    for (TokenId id : ids) text += stream.Append(id);
    ASSERT_EQ(text + stream.Finish(), tokenizer_->Decode(ids, false));
  }
}

}  // namespace
}  // namespace deeprack::coordinator
