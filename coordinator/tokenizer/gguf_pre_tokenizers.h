// How text is cut before byte-pair encoding, by the names that GGUF files have for it (tokenizer.ggml.pre). A
// GGUF holds no regexes: these are the ones of the tokenizer.json that each name was given for.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace deeprack::coordinator {

struct GgufPreTokenizer {
  std::string_view name;
  std::span<const std::string_view> splits;  // as in TokenizerSpec
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = true;  // where the file does not say
};

const GgufPreTokenizer* FindGgufPreTokenizer(std::string_view name);  // nullptr: not known

std::string GgufPreTokenizerNames();  // "deepseek-v3, deepseek-llm, ..."

}  // namespace deeprack::coordinator
