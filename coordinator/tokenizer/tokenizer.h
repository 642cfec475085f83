// Text <-> token ids, from a Hugging Face tokenizer.json or a GGUF. Byte-level BPE with the pre-tokenizers of
// DeepSeek V3/R1, Qwen2.5 and Llama 3. Immutable after Load; safe to use from any thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace deeprack::coordinator {

class Tokenizer {
 public:
  // Reads tokenizer.json of the folder `model_path` (or that file itself), or the metadata of a GGUF. What
  // this class cannot honour (another model type, normaliser, pre-tokenizer or decoder) is refused by name.
  // InvalidArgument, NotFound, DataLoss (a damaged GGUF).
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& model_path);
  virtual ~Tokenizer() = default;

  // Special tokens written in `text` become their ids only if `allow_special`; otherwise they are ordinary
  // text. Special here are the added tokens that the file marks so, and all that begin with '<': R1's file
  // does not mark <think>, <|User|> or the tool markers, and a user who types them must not steer the model.
  // Other added tokens are words. Never adds bos by itself. `text` must be valid UTF-8 (InvalidArgument with
  // the offset of the first bad byte). ResourceExhausted when a regex of the file exceeds its step limit on
  // it.
  virtual absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool allow_special) const = 0;

  // The bytes of one token (a fragment of UTF-8, perhaps); empty for a special token unless `show_special`.
  virtual std::string_view TokenBytes(TokenId id, bool show_special) const = 0;

  // All bytes of the ids, invalid sequences replaced by U+FFFD as the `tokenizers` package does.
  virtual std::string Decode(std::span<const TokenId> ids, bool show_special) const = 0;

  virtual std::optional<TokenId> TokenToId(std::string_view token) const = 0;
  virtual bool IsSpecial(TokenId id) const = 0;  // marked so in the file
  virtual int32_t vocab_size() const = 0;        // one past the largest id
};

// Turns a stream of tokens into a stream of text that never ends inside a UTF-8 character.
class IncrementalDetokenizer {
 public:
  explicit IncrementalDetokenizer(const Tokenizer* tokenizer, bool show_special = false)
      : tokenizer_(tokenizer), show_special_(show_special) {}

  // The text that became certain with this token (possibly empty). Bytes that can never become a valid
  // character are given out as U+FFFD.
  std::string Append(TokenId id);

  // What is left at the end, an incomplete character as U+FFFD.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  bool show_special_;
  std::string pending_;
};

}  // namespace deeprack::coordinator
