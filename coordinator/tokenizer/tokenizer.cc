#include "coordinator/tokenizer/tokenizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/tokenizer/added_tokens.h"
#include "coordinator/tokenizer/bpe.h"
#include "coordinator/tokenizer/byte_level.h"
#include "coordinator/tokenizer/gguf_tokenizer.h"
#include "coordinator/tokenizer/split_pattern.h"
#include "coordinator/tokenizer/tokenizer_json.h"
#include "coordinator/tokenizer/utf8.h"
#include "model/gguf/gguf_model.h"

namespace deeprack::coordinator {
namespace {

constexpr uintmax_t kMaxFileBytes = 256 << 20;

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return absl::NotFoundError(absl::StrCat(path.string(), ": ", error.message()));
  if (size > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": ", size, " bytes; a tokenizer has at most ", kMaxFileBytes));
  }
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": cannot be read"));
  }
  return text;
}

// NFC of Unicode 9, the version of the `tokenizers` package, whose ids the models were trained on. Characters
// of later versions are left unchanged.
const icu::Normalizer2* NfcOfUnicode9(UErrorCode& error) {
  static UErrorCode made = U_ZERO_ERROR;
  static const icu::Normalizer2* nfc = []() -> const icu::Normalizer2* {
    const icu::Normalizer2* current = icu::Normalizer2::getNFCInstance(made);
    auto* known = new icu::UnicodeSet(u"[:age=9.0:]",
                                      made);  // the normalizer refers to `known`; neither is ever destroyed
    if (U_FAILURE(made)) return nullptr;
    return new icu::FilteredNormalizer2(*current, *known->freeze());
  }();
  error = made;
  return nfc;
}

absl::StatusOr<std::string> ToNfc(std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = NfcOfUnicode9(error);
  std::string normalized;
  if (U_SUCCESS(error)) {
    icu::StringByteSink<std::string> sink(&normalized);
    nfc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr,
                       error);
  }
  if (U_FAILURE(error)) return absl::InternalError(absl::StrCat("normalising to NFC: ", u_errorName(error)));
  return normalized;
}

// True for a token that steers the model: a token that is marked special, or that is markup. R1's file does
// not mark <|User|>, <think> and the tool markers as special.
bool Steers(const AddedToken& token) { return token.special || token.content.starts_with('<'); }

// The parts of `ranges` in bytes [begin, end), counted from `begin`.
std::vector<ByteRange> Within(std::span<const ByteRange> ranges, size_t begin, size_t end) {
  std::vector<ByteRange> parts;
  for (const ByteRange& range : ranges) {
    const ByteRange part{std::max(range.begin, begin), std::min(range.end, end)};
    if (part.begin < part.end) parts.push_back({part.begin - begin, part.end - begin});
  }
  return parts;
}

class BpeTokenizer final : public Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Make(TokenizerSpec spec) {
    auto tokenizer = std::make_unique<BpeTokenizer>();
    tokenizer->nfc_ = spec.nfc;
    for (const std::string& regex : spec.splits) {
      DR_ASSIGN_OR_RETURN(SplitPattern split, SplitPattern::Compile(regex));
      tokenizer->splits_.push_back(std::move(split));
    }
    tokenizer->FillEncoder(spec);
    tokenizer->tokens_.resize(spec.largest_id + 1);
    for (const auto& [symbols, id] : spec.vocab) {
      tokenizer->tokens_[id].bytes = SymbolsToBytes(symbols).value_or(symbols);
    }
    DR_RETURN_IF_ERROR(tokenizer->FillAddedTokens(spec));
    tokenizer->ids_ = std::move(spec.vocab);
    for (AddedToken& token : spec.added_tokens) tokenizer->ids_.emplace(std::move(token.content), token.id);
    return tokenizer;
  }

  absl::StatusOr<std::vector<TokenId>> EncodeParts(std::string_view text,
                                                   std::span<const ByteRange> special) const override {
    if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max() / 4)) {
      return absl::InvalidArgumentError(absl::StrCat("text of ", text.size(), " bytes is too long"));
    }
    if (const auto offset = FirstInvalidUtf8(text); offset.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("text is not valid UTF-8 at byte ", *offset));
    }
    std::vector<TokenId> tokens;
    BytePairEncoder::Workspace workspace;
    std::vector<TextSpan> spans;
    added_.Split(text, special, &spans);
    for (const TextSpan& span : spans) {
      if (span.token >= 0) {
        tokens.push_back(span.token);
        continue;
      }
      Parts parts{std::string(), {}};
      std::string_view ordinary = span.text;
      if (added_normalized_.has_control()) {
        const auto begin = static_cast<size_t>(span.text.data() - text.data());
        parts.special = Within(special, begin, begin + span.text.size());
      }
      if (nfc_) {
        DR_ASSIGN_OR_RETURN(parts, Normalize(span.text, std::move(parts.special)));
        ordinary = parts.text;
      }
      std::vector<TextSpan> inner;
      added_normalized_.Split(ordinary, parts.special, &inner);
      for (const TextSpan& piece : inner) {
        if (piece.token >= 0) {
          tokens.push_back(piece.token);
        } else {
          DR_RETURN_IF_ERROR(EncodeOrdinary(piece.text, &workspace, &tokens));
        }
      }
    }
    return tokens;
  }

  std::string_view TokenBytes(TokenId id, bool show_special) const override {
    if (id < 0 || id >= vocab_size() || (tokens_[id].special && !show_special)) return {};
    return tokens_[id].bytes;
  }

  std::string Decode(std::span<const TokenId> ids, bool show_special) const override {
    std::string bytes;
    for (TokenId id : ids) bytes.append(TokenBytes(id, show_special));
    std::string text;
    AppendUtf8Lossy(bytes, &text);
    return text;
  }

  std::optional<TokenId> TokenToId(std::string_view token) const override {
    const auto found = ids_.find(absl::string_view(token.data(), token.size()));
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }

  bool IsSpecial(TokenId id) const override { return id >= 0 && id < vocab_size() && tokens_[id].special; }

  bool IsControl(TokenId id) const override { return id >= 0 && id < vocab_size() && tokens_[id].control; }

  int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }

 private:
  struct Token {
    std::string bytes;
    bool special = false;
    bool control = false;
  };

  // A text, and the parts of it where special tokens are allowed.
  struct Parts {
    std::string text;
    std::vector<ByteRange> special;
  };

  // The text in NFC. If that changes the text, each part is normalised on its own.
  static absl::StatusOr<Parts> Normalize(std::string_view text, std::vector<ByteRange> special) {
    DR_ASSIGN_OR_RETURN(std::string whole, ToNfc(text));
    if (special.empty() || whole == text) return Parts{std::move(whole), std::move(special)};
    Parts parts;
    size_t done = 0;
    for (const ByteRange& range : special) {
      DR_ASSIGN_OR_RETURN(const std::string before, ToNfc(text.substr(done, range.begin - done)));
      DR_ASSIGN_OR_RETURN(const std::string inside, ToNfc(text.substr(range.begin, range.end - range.begin)));
      parts.text += before;
      parts.special.push_back({parts.text.size(), parts.text.size() + inside.size()});
      parts.text += inside;
      done = range.end;
    }
    DR_ASSIGN_OR_RETURN(const std::string rest, ToNfc(text.substr(done)));
    parts.text += rest;
    return parts;
  }

  void FillEncoder(const TokenizerSpec& spec) {
    encoder_.SetByteTokens(spec.byte_tokens);
    for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
      const TokenizerSpec::Merge& merge = spec.merges[rank];
      encoder_.AddMerge(merge.left, merge.right, merge.merged, static_cast<int32_t>(rank));
    }
    if (!spec.ignore_merges) return;
    for (const auto& [symbols, id] : spec.vocab) {
      if (std::optional<std::string> bytes = SymbolsToBytes(symbols)) {
        encoder_.PreferWholeWord(*std::move(bytes), id);
      }
    }
  }

  absl::Status FillAddedTokens(const TokenizerSpec& spec) {
    absl::flat_hash_map<std::string, TokenId> normalized_contents;
    for (const AddedToken& token : spec.added_tokens) {
      // The bytes that the decoder of the `tokenizers` package gives.
      tokens_[token.id] = {SymbolsToBytes(token.content).value_or(token.content), token.special,
                           Steers(token)};
      if (!token.normalized) {
        added_.Add(token.content, token.id, Steers(token));
        continue;
      }
      std::string content = token.content;
      if (spec.nfc) {
        DR_ASSIGN_OR_RETURN(content, ToNfc(content));
      }
      const auto [other, is_new] = normalized_contents.try_emplace(content, token.id);
      if (!is_new) {
        return absl::InvalidArgumentError(absl::StrCat("added tokens ", other->second, " and ", token.id,
                                                       " are the same once normalised: \"", content, "\""));
      }
      added_normalized_.Add(content, token.id, Steers(token));
    }
    return absl::OkStatus();
  }

  absl::Status EncodeOrdinary(std::string_view text, BytePairEncoder::Workspace* workspace,
                              std::vector<TokenId>* tokens) const {
    std::vector<std::string_view> pieces = {text};
    for (const SplitPattern& split : splits_) {
      std::vector<std::string_view> finer;
      for (std::string_view piece : pieces) DR_RETURN_IF_ERROR(split.Split(piece, &finer));
      pieces = std::move(finer);
    }
    for (std::string_view piece : pieces) encoder_.Encode(piece, workspace, tokens);
    return absl::OkStatus();
  }

  bool nfc_ = false;
  AddedTokenMatcher added_;             // found in the text before normalising
  AddedTokenMatcher added_normalized_;  // found in the rest after normalising
  std::vector<SplitPattern> splits_;
  BytePairEncoder encoder_;
  std::vector<Token> tokens_;  // by id; an id without a token has no bytes
  absl::flat_hash_map<std::string, TokenId> ids_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& model_path) {
  std::filesystem::path path = model_path;
  std::error_code ignored;
  absl::StatusOr<TokenizerSpec> spec;
  if (model::IsGgufPath(model_path)) {
    DR_ASSIGN_OR_RETURN(const model::GgufModel gguf, model::GgufModel::Open(model_path));
    spec = ReadGgufTokenizer(gguf);
  } else {
    if (std::filesystem::is_directory(path, ignored)) path /= "tokenizer.json";
    DR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    spec = ParseTokenizerJson(text);
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer;
  if (spec.ok()) {
    tokenizer = BpeTokenizer::Make(*std::move(spec));
  } else {
    tokenizer = spec.status();
  }
  if (!tokenizer.ok()) {
    return absl::Status(tokenizer.status().code(),
                        absl::StrCat(path.string(), ": ", tokenizer.status().message()));
  }
  return tokenizer;
}

}  // namespace deeprack::coordinator
