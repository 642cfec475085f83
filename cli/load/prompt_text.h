// Text of a wanted number of tokens. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/load/session_plan.h"

namespace deeprack::cli {

// How many tokens the server's tokenizer and chat template make of a text of our words.
struct TokenScale {
  double tokens_per_word = 1.3;
  double tokens_around = 0;  // of the template around a prompt of one message
  bool measured = false;     // false: the server does not report tokens, and the values are a guess
};

// The scale by the prompt tokens that the server counted in two prompts of different numbers of words.
TokenScale MeasureScale(int64_t words1, int64_t tokens1, int64_t words2, int64_t tokens2);

// `words` words, one blank between two. The same id gives the same words, and fewer words are the beginning
// of more words.
std::string Words(uint64_t id, int64_t words);

// The parts one after the other. `tokens_around` are taken off the last part, so that the whole prompt has as
// many tokens as the parts say. Each part has at least one word.
std::string TextOf(const std::vector<TextPart>& parts, const TokenScale& scale, double tokens_around);

}  // namespace deeprack::cli
