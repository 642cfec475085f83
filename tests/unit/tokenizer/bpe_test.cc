#include "coordinator/tokenizer/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace deeprack::coordinator {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

class BpeTest : public ::testing::Test {
 protected:
  BpeTest() {
    std::array<TokenId, 256> bytes;
    std::iota(bytes.begin(), bytes.end(), 0);
    encoder_.SetByteTokens(bytes);
  }

  void Merge(TokenId left, TokenId right, TokenId merged) {
    ASSERT_TRUE(encoder_.AddMerge(left, right, merged, static_cast<int32_t>(merges_.size())));
    merges_.push_back({left, right, merged});
  }

  std::vector<TokenId> Encode(std::string_view word) {
    std::vector<TokenId> tokens;
    encoder_.Encode(word, &workspace_, &tokens);
    return tokens;
  }

  // The definition of BPE: repeatedly applies the first merge that applies anywhere, at its leftmost place.
  std::vector<TokenId> ByDefinition(std::string_view word) {
    std::vector<TokenId> tokens;
    for (char byte : word) tokens.push_back(static_cast<uint8_t>(byte));
    for (bool merged = true; merged;) {
      merged = false;
      for (const auto& [left, right, result] : merges_) {
        for (size_t i = 0; i + 1 < tokens.size() && !merged; ++i) {
          if (tokens[i] != left || tokens[i + 1] != right) continue;
          tokens[i] = result;
          tokens.erase(tokens.begin() + i + 1);
          merged = true;
        }
        if (merged) break;
      }
    }
    return tokens;
  }

  BytePairEncoder encoder_;
  BytePairEncoder::Workspace workspace_;
  std::vector<std::array<TokenId, 3>> merges_;
};

TEST_F(BpeTest, LowerRanksComeFirst) {
  Merge('b', 'c', 300);
  Merge('a', 'b', 301);
  Merge('a', 300, 302);
  EXPECT_THAT(Encode("abc"), ElementsAre(302));
  EXPECT_THAT(Encode("ab"), ElementsAre(301));
  EXPECT_THAT(Encode(""), ElementsAre());
}

TEST_F(BpeTest, EqualRanksGoFromTheLeft) {
  Merge('a', 'a', 300);
  EXPECT_THAT(Encode("aaaaa"), ElementsAre(300, 300, 'a'));
}

TEST_F(BpeTest, ARepeatedMergeIsReported) {
  Merge('a', 'a', 300);
  EXPECT_FALSE(encoder_.AddMerge('a', 'a', 301, 1));
}

TEST_F(BpeTest, WholeWordsCanComeFirst) {
  Merge('a', 'b', 300);
  encoder_.PreferWholeWord("abc", 400);
  EXPECT_THAT(Encode("abc"), ElementsAre(400));
  EXPECT_THAT(Encode("abcd"), ElementsAre(300, 'c', 'd'));
}

TEST_F(BpeTest, AgreesWithTheDefinitionOnRandomMerges) {
  std::mt19937 random(7);
  std::vector<std::string> tokens = {"a", "b", "c"};
  std::vector<TokenId> ids = {'a', 'b', 'c'};
  for (TokenId id = 300; id < 340;) {
    const size_t left = random() % tokens.size();
    const size_t right = random() % tokens.size();
    const std::string merged = tokens[left] + tokens[right];
    if (merged.size() > 7 || std::find(tokens.begin(), tokens.end(), merged) != tokens.end()) continue;
    Merge(ids[left], ids[right], id);
    tokens.push_back(merged);
    ids.push_back(id++);
  }
  for (int round = 0; round < 500; ++round) {
    std::string word(1 + random() % 40, ' ');
    for (char& byte : word) byte = static_cast<char>('a' + random() % 3);
    ASSERT_EQ(Encode(word), ByDefinition(word)) << word;
  }
}

// A quadratic algorithm would take minutes and exceed the test's time limit.
TEST_F(BpeTest, LongWords) {
  TokenId previous = 'a';
  for (TokenId id = 300; id < 305; ++id) {
    Merge(previous, previous, id);
    previous = id;
  }
  const std::vector<TokenId> tokens = Encode(std::string(1 << 20, 'a'));
  EXPECT_EQ(tokens.size(), (1u << 20) / 32);
  EXPECT_THAT(tokens, Each(304));
}

}  // namespace
}  // namespace deeprack::coordinator
