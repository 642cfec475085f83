#include "coordinator/tokenizer/gguf_tokenizer.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "coordinator/tokenizer/gguf_pre_tokenizers.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

constexpr char kModel[] = "tokenizer.ggml.model";
constexpr char kTokens[] = "tokenizer.ggml.tokens";
constexpr char kTypes[] = "tokenizer.ggml.token_type";
constexpr char kMerges[] = "tokenizer.ggml.merges";
constexpr char kPre[] = "tokenizer.ggml.pre";
constexpr char kAddBos[] = "tokenizer.ggml.add_bos_token";
// Metadata of a text normalizer, which is not supported.
constexpr const char* kMustBeFalse[] = {"tokenizer.ggml.add_space_prefix",
                                        "tokenizer.ggml.normalizer.lowercase",
                                        "tokenizer.ggml.normalizer.strip_accents"};

// tokenizer.ggml.token_type.
constexpr int64_t kNormal = 1;
constexpr int64_t kControl = 3;
constexpr int64_t kUserDefined = 4;
constexpr int64_t kUnused = 5;

std::optional<std::string_view> Text(const model::GgufModel& model, const char* key) {
  const model::GgufValue* value = model.Find(key);
  return value == nullptr ? std::nullopt : value->String();
}

class Reader {
 public:
  explicit Reader(const model::GgufModel& model) : model_(model) {}

  absl::StatusOr<TokenizerSpec> Read() {
    const std::optional<std::string_view> kind = Text(model_, kModel);
    if (kind != "gpt2") {
      return Wrong(kModel, absl::StrCat(kind ? QuotedName(*kind) : "no string",
                                        "; only byte-level vocabularies, \"gpt2\", are supported"));
    }
    for (const char* key : kMustBeFalse) {
      const model::GgufValue* value = model_.Find(key);
      if (value != nullptr && value->Bool() != false) return Wrong(key, "must be false or absent");
    }
    DR_ASSIGN_OR_RETURN(const GgufPreTokenizer* pre, PreTokenizer());
    TokenizerSpec& spec = builder_.spec();
    for (const std::string_view split : pre->splits) spec.splits.emplace_back(split);
    spec.nfc = pre->nfc;
    spec.ignore_merges = pre->ignore_merges;
    DR_RETURN_IF_ERROR(ReadTokens());
    DR_RETURN_IF_ERROR(builder_.FindByteTokens(kTokens));
    DR_RETURN_IF_ERROR(ReadMerges());
    return builder_.Take();
  }

  absl::StatusOr<const GgufPreTokenizer*> PreTokenizer() const {
    const std::optional<std::string_view> name = Text(model_, kPre);
    const GgufPreTokenizer* pre = name ? FindGgufPreTokenizer(*name) : nullptr;
    if (pre != nullptr) return pre;
    return Wrong(kPre, absl::StrCat(name ? QuotedName(*name) : "no string",
                                    " is not supported; these are: ", GgufPreTokenizerNames()));
  }

 private:
  static absl::Status Wrong(const std::string& key, const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ", what));
  }

  absl::StatusOr<std::vector<std::string_view>> Strings(const char* key) const {
    const model::GgufValue* value = model_.Find(key);
    if (value != nullptr && value->count > kMaxTokenId) {
      return Wrong(key, absl::StrCat(value->count, " entries; at most ", kMaxTokenId, " are possible"));
    }
    auto strings = value == nullptr ? std::nullopt : value->Strings();
    if (!strings) return Wrong(key, "expected an array of strings");
    return *std::move(strings);
  }

  absl::Status ReadTokens() {
    DR_ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens, Strings(kTokens));
    const model::GgufValue* value = model_.Find(kTypes);
    const auto types = value == nullptr ? std::nullopt : value->Integers();
    if (!types || types->size() != tokens.size()) {
      return Wrong(kTypes,
                   absl::StrCat("expected an array of ", tokens.size(), " integers, one for each token"));
    }
    builder_.spec().vocab.reserve(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string where = absl::StrCat(kTokens, "[", i, "]");
      if (FirstInvalidUtf8(tokens[i]).has_value()) return Wrong(where, "is not valid UTF-8");
      DR_RETURN_IF_ERROR(ReadToken(tokens[i], (*types)[i], static_cast<TokenId>(i), where));
    }
    return absl::OkStatus();
  }

  absl::Status ReadToken(std::string_view token, int64_t type, TokenId id, const std::string& where) {
    switch (type) {
      case kNormal:
        return builder_.AddToVocab(token, id, where);
      case kControl:
      case kUserDefined:
        if (token.empty()) return Wrong(where, "an empty token");
        return builder_.AddAdded({.content = std::string(token), .id = id, .special = type == kControl},
                                 where);
      case kUnused:  // fills the vocabulary up: "[PAD128815]"
        return absl::OkStatus();
      default:
        return Wrong(absl::StrCat(kTypes, "[", id, "]"),
                     absl::StrCat("type ", type, " is not supported in a byte-level vocabulary"));
    }
  }

  absl::Status ReadMerges() {
    DR_ASSIGN_OR_RETURN(const std::vector<std::string_view> merges, Strings(kMerges));
    builder_.spec().merges.reserve(merges.size());
    for (size_t i = 0; i < merges.size(); ++i) {
      const std::string where = absl::StrCat(kMerges, "[", i, "]");
      const size_t space = merges[i].find(' ');
      if (space == merges[i].npos || merges[i].find(' ', space + 1) != merges[i].npos) {
        return Wrong(where, absl::StrCat("expected \"left right\", found ", QuotedName(merges[i])));
      }
      DR_RETURN_IF_ERROR(builder_.AddMerge(merges[i].substr(0, space), merges[i].substr(space + 1), where));
    }
    return absl::OkStatus();
  }

  const model::GgufModel& model_;
  TokenizerSpecBuilder builder_;
};

}  // namespace

absl::StatusOr<TokenizerSpec> ReadGgufTokenizer(const model::GgufModel& model) {
  return Reader(model).Read();
}

absl::StatusOr<bool> GgufAddsBos(const model::GgufModel& model) {
  if (const model::GgufValue* value = model.Find(kAddBos)) {
    if (const std::optional<bool> adds = value->Bool()) return *adds;
    return absl::InvalidArgumentError(absl::StrCat(model.path(), ": ", kAddBos, " must be true or false"));
  }
  DR_ASSIGN_OR_RETURN(const GgufPreTokenizer* pre, Reader(model).PreTokenizer());
  return pre->add_bos;
}

}  // namespace deeprack::coordinator
