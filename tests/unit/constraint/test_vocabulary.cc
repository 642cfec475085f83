#include "test_vocabulary.h"

#include "gtest/gtest.h"

namespace deeprack::constraint {

const std::vector<std::string>& TestTokens() {
  static const std::vector<std::string>* const tokens = [] {
    auto* made = new std::vector<std::string>;
    for (int byte = 0; byte < 256; ++byte) made->emplace_back(1, static_cast<char>(byte));
    for (const char* longer :
         {"{\"", "\":", "\",", "\"}", "}]",    " \"",  "the",   "name", "true", "null", "10",
          "é",   "中",  "ab",  "abc", "\":\"", "\n  ", "false", "-1",   "0.5",  "[{",   "[]"}) {
      made->emplace_back(longer);
    }
    made->resize(kCallEnd + 1);
    return made;
  }();
  return *tokens;
}

std::shared_ptr<const Vocabulary> TestVocabulary() {
  const TokenId end[] = {kEnd};
  auto made = Vocabulary::Make(TestTokens(), kVocabSize, end);
  EXPECT_TRUE(made.ok()) << made.status();
  return *made;
}

std::vector<TokenId> Tokens(const std::string& text) {
  std::vector<TokenId> tokens;
  for (size_t at = 0; at < text.size();) {
    TokenId best = static_cast<uint8_t>(text[at]);
    for (TokenId id = 256; id < kEnd; ++id) {
      const std::string& token = TestTokens()[id];
      if (token.size() > TestTokens()[best].size() && text.compare(at, token.size(), token) == 0) best = id;
    }
    tokens.push_back(best);
    at += TestTokens()[best].size();
  }
  return tokens;
}

std::string Text(const std::vector<TokenId>& tokens) {
  std::string text;
  for (const TokenId token : tokens) text += TestTokens()[token];
  return text;
}

bool IsSet(const std::vector<uint32_t>& mask, TokenId token) { return mask[token / 32] >> (token % 32) & 1; }

std::vector<uint32_t> MaskOf(Matcher& matcher) {
  std::vector<uint32_t> mask(MaskWords(kVocabSize), 0xdeadbeef);
  EXPECT_TRUE(matcher.Fill(mask).ok());
  return mask;
}

std::vector<TokenId> Allowed(const std::vector<uint32_t>& mask) {
  std::vector<TokenId> tokens;
  for (TokenId token = 0; token < kVocabSize; ++token) {
    if (IsSet(mask, token)) tokens.push_back(token);
  }
  return tokens;
}

bool Accepts(const CompiledConstraint& constraint, const std::string& text) {
  auto matcher = constraint.NewMatcher("");
  EXPECT_TRUE(matcher.ok()) << matcher.status();
  for (const TokenId token : Tokens(text)) {
    const bool in_mask = IsSet(MaskOf(**matcher), token);
    const absl::StatusOr<bool> accepted = (*matcher)->Accept(token);
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    EXPECT_EQ(in_mask, *accepted) << "mask and matcher differ in " << text;
    if (!*accepted) return false;
  }
  EXPECT_EQ((*matcher)->complete(), IsSet(MaskOf(**matcher), kEnd));
  return (*matcher)->complete();
}

}  // namespace deeprack::constraint
