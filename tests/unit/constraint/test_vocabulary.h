// A small vocabulary: a token for each byte, some longer tokens, markers, and an end token.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "constraint/compile.h"
#include "constraint/vocabulary.h"

namespace deeprack::constraint {

inline constexpr TokenId kEnd = 300, kCallBegin = 301, kCallEnd = 302;
inline constexpr int32_t kVocabSize = 333;  // the last ids have no token

// The bytes of each token; empty from kEnd on.
const std::vector<std::string>& TestTokens();
std::shared_ptr<const Vocabulary> TestVocabulary();

// The tokens of `text`: the longest token first.
std::vector<TokenId> Tokens(const std::string& text);
std::string Text(const std::vector<TokenId>& tokens);

bool IsSet(const std::vector<uint32_t>& mask, TokenId token);
std::vector<uint32_t> MaskOf(Matcher& matcher);
// The tokens of a mask.
std::vector<TokenId> Allowed(const std::vector<uint32_t>& mask);

// True if `constraint` has `text` as a whole text.
bool Accepts(const CompiledConstraint& constraint, const std::string& text);

}  // namespace deeprack::constraint
