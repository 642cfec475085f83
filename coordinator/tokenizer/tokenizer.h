// Turns text into token ids and back, by a Hugging Face tokenizer.json or a GGUF: byte-level BPE with the
// pre-tokenizers of DeepSeek V3/R1, Qwen2.5 and Llama 3. Immutable after Load, so thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/tokenizer/added_tokens.h"

namespace deeprack::coordinator {

class Tokenizer {
 public:
  // `model_path` is a folder with a tokenizer.json, a tokenizer.json, or a GGUF. Errors: InvalidArgument,
  // with the name, for a model type, normaliser, pre-tokenizer or decoder that this class does not have;
  // NotFound; DataLoss for a damaged GGUF.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& model_path);
  virtual ~Tokenizer() = default;

  // Special tokens in `text` become their ids if `allow_special`; else they are ordinary text. Special are
  // the added tokens that the file marks as special, and the added tokens that begin with '<': R1's file does
  // not mark <think>, <|User|> and the tool markers, and a user who types these must not steer the model.
  // Other added tokens always become their ids. Encode does not add bos. Errors: InvalidArgument if `text` is
  // not valid UTF-8, with the offset of the first invalid byte; ResourceExhausted if a regex of the file
  // exceeds its step limit.
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool allow_special) const {
    const ByteRange all{0, text.size()};
    return EncodeParts(text, {&all, allow_special ? size_t{1} : size_t{0}});
  }

  // Encodes the whole text at once. A special token becomes its id if its bytes lie in one of the `special`
  // ranges, which are in order and do not meet; elsewhere it is ordinary text. Errors: as Encode.
  virtual absl::StatusOr<std::vector<TokenId>> EncodeParts(std::string_view text,
                                                           std::span<const ByteRange> special) const = 0;

  // The bytes of one token, which may be a part of a UTF-8 character. Empty for an id without a token, and
  // for a special token unless `show_special`.
  virtual std::string_view TokenBytes(TokenId id, bool show_special) const = 0;

  // The bytes of all ids as text. Invalid UTF-8 becomes U+FFFD, as with the `tokenizers` package.
  virtual std::string Decode(std::span<const TokenId> ids, bool show_special) const = 0;

  virtual std::optional<TokenId> TokenToId(std::string_view token) const = 0;
  virtual bool IsSpecial(TokenId id) const = 0;  // the file marks the token as special
  // The token steers the model: it is special, or markup such as <think> and the markers of tool calls.
  virtual bool IsControl(TokenId id) const { return IsSpecial(id); }
  virtual int32_t vocab_size() const = 0;  // one past the largest id
};

// Turns a stream of tokens into a stream of text. Each piece of text ends at the end of a UTF-8 character.
class IncrementalDetokenizer {
 public:
  explicit IncrementalDetokenizer(const Tokenizer* tokenizer, bool show_special = false)
      : tokenizer_(tokenizer), show_special_(show_special) {}

  // The text that this token completes; may be empty. Bytes that no later byte can make a valid character
  // become U+FFFD.
  std::string Append(TokenId id);

  // The stream has ended: the text that is left. An incomplete character becomes U+FFFD.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool show_special_;
  std::string pending_;
};

}  // namespace deeprack::coordinator
