#include "constraint/vocabulary.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "constraint/library.h"
#include "constraint/matcher.h"

namespace deeprack::constraint {
namespace {

// Stands for a token that is no text: 0xff occurs in no UTF-8, so that no text of a constraint has the token.
constexpr char kNoText = '\xff';

bool IsControl(char byte) { return static_cast<uint8_t>(byte) < 0x20 && byte != '\n' && byte != '\r'; }

constexpr char kHalfLead = '\xed';

bool IsHalfTail(char byte) { return static_cast<uint8_t>(byte) >= 0xa0 && static_cast<uint8_t>(byte) < 0xc0; }

bool HasHalf(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i - 1] == kHalfLead && IsHalfTail(text[i])) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Vocabulary>> Vocabulary::Make(std::vector<std::string> tokens,
                                                                   int32_t vocab_size,
                                                                   std::span<const TokenId> end_tokens) {
  if (vocab_size < 1 || std::ssize(tokens) > vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer has ", tokens.size(),
                                                   " tokens, and the model has ", vocab_size, " logits"));
  }
  if (end_tokens.empty()) return absl::InvalidArgumentError("no token ends an answer");
  for (const TokenId token : end_tokens) {
    if (token < 0 || token >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("the end token ", token, " is not a token of the model, which has ", vocab_size));
    }
  }
  tokens.resize(static_cast<size_t>(vocab_size));
  for (std::string& token : tokens) {
    if (token.empty() || HasHalf(token)) token.assign(1, kNoText);
  }
  return WithoutExceptions(
      absl::StatusCode::kInternal, [&]() -> absl::StatusOr<std::shared_ptr<const Vocabulary>> {
        const std::vector<int32_t> end(end_tokens.begin(), end_tokens.end());
        xgrammar::TokenizerInfo text(tokens, xgrammar::VocabType::RAW, vocab_size, end);
        const std::vector<std::string> all = tokens;
        for (std::string& token : tokens) {
          if (std::any_of(token.begin(), token.end(), IsControl)) token.assign(1, kNoText);
        }
        xgrammar::TokenizerInfo json(tokens, xgrammar::VocabType::RAW, vocab_size, end);
        auto library = std::make_unique<Library>(Library{std::move(text), std::move(json)});
        return std::shared_ptr<const Vocabulary>(new Vocabulary(std::move(library), all));
      });
}

Vocabulary::Vocabulary(std::unique_ptr<const Library> library, std::span<const std::string> tokens)
    : library_(std::move(library)),
      vocab_size_(static_cast<int32_t>(tokens.size())),
      half_mask_(static_cast<size_t>(MaskWords(std::ssize(tokens)))) {
  for (size_t id = 0; id < tokens.size(); ++id) {
    ends_before_half_.push_back(tokens[id].back() == kHalfLead);
    begins_half_.push_back(IsHalfTail(tokens[id].front()));
    if (begins_half_.back()) half_mask_[id / 32] |= uint32_t{1} << (id % 32);
  }
}

Vocabulary::~Vocabulary() = default;

}  // namespace deeprack::constraint
