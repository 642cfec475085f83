#include "coordinator/tokenizer/tokenizer_spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "coordinator/tokenizer/byte_level.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

absl::Status WrongToken(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

}  // namespace

absl::Status TokenizerSpecBuilder::TakeId(TokenId id, std::string_view token, const std::string& where) {
  const auto [owner, is_new] = owners_.try_emplace(id, token);
  if (!is_new) {
    return WrongToken(where, absl::StrCat("id ", id, " is also that of ", QuotedName(owner->second)));
  }
  spec_.largest_id = std::max(spec_.largest_id, id);
  return absl::OkStatus();
}

absl::Status TokenizerSpecBuilder::AddToVocab(std::string_view token, TokenId id, const std::string& where) {
  if (token.empty()) return WrongToken(where, "an empty token");
  DR_RETURN_IF_ERROR(TakeId(id, token, where));
  if (!spec_.vocab.emplace(std::string(token), id).second) {
    return WrongToken(where, absl::StrCat(QuotedName(token), " is there twice"));
  }
  return absl::OkStatus();
}

absl::Status TokenizerSpecBuilder::AddAdded(AddedToken token, const std::string& where) {
  if (!added_.emplace(token.content, token.id).second) {
    return WrongToken(where, absl::StrCat(QuotedName(token.content), " is there twice"));
  }
  const auto known = spec_.vocab.find(token.content);
  if (known == spec_.vocab.end()) {
    DR_RETURN_IF_ERROR(TakeId(token.id, token.content, where));
  } else if (known->second != token.id) {
    return WrongToken(where, absl::StrCat("id ", token.id, ", but the vocabulary gives ", known->second));
  }
  spec_.added_tokens.push_back(std::move(token));
  return absl::OkStatus();
}

// Byte-level BPE can write any text only if each byte has a token. Bytes that UTF-8 never uses need none.
absl::Status TokenizerSpecBuilder::FindByteTokens(const std::string& where) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string symbol;
    AppendUtf8(ByteToSymbol(static_cast<uint8_t>(byte)), &symbol);
    const auto found = spec_.vocab.find(symbol);
    spec_.byte_tokens[byte] = found == spec_.vocab.end() ? -1 : found->second;
    const bool in_utf8 = byte < 0xC0 || (byte >= 0xC2 && byte <= 0xF4);
    if (found == spec_.vocab.end() && in_utf8) {
      return WrongToken(where, absl::StrCat("byte ", byte, " has no token (\"", symbol,
                                            "\"): not a complete byte-level vocabulary"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenId> TokenizerSpecBuilder::IdOf(const std::string& token, const std::string& where) const {
  if (const auto found = spec_.vocab.find(token); found != spec_.vocab.end()) return found->second;
  if (const auto found = added_.find(token); found != added_.end()) return found->second;
  return WrongToken(where, absl::StrCat(QuotedName(token), " is not in the vocabulary"));
}

absl::Status TokenizerSpecBuilder::AddMerge(std::string_view left, std::string_view right,
                                            const std::string& where) {
  TokenizerSpec::Merge merge;
  DR_ASSIGN_OR_RETURN(merge.left, IdOf(std::string(left), where));
  DR_ASSIGN_OR_RETURN(merge.right, IdOf(std::string(right), where));
  DR_ASSIGN_OR_RETURN(merge.merged, IdOf(std::string(left) + std::string(right), where));
  if (!pairs_.emplace(merge.left, merge.right).second) {
    return WrongToken(where,
                      absl::StrCat(QuotedName(absl::StrCat(std::string(left), " ", std::string(right))),
                                   " is there twice"));
  }
  spec_.merges.push_back(merge);
  return absl::OkStatus();
}

}  // namespace deeprack::coordinator
