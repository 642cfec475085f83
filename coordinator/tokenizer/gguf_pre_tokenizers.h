// The pre-tokenizers of GGUF files, by the names of tokenizer.ggml.pre. A pre-tokenizer cuts text into words
// before byte-pair encoding. A GGUF has only the name; the regexes here are those of the model's
// tokenizer.json.
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
  bool add_bos = true;  // if the file has no add_bos_token
};

const GgufPreTokenizer* FindGgufPreTokenizer(std::string_view name);  // nullptr: not known

std::string GgufPreTokenizerNames();  // "deepseek-v3, deepseek-llm, ..."

}  // namespace deeprack::coordinator
