#include "coordinator/tokenizer/tokenizer_json.h"

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace deeprack::coordinator {
namespace {

using Json = nlohmann::json;

constexpr size_t kShownChars = 120;

// The regex of ByteLevel's own splitting (GPT-2's), as the `tokenizers` package has it.
constexpr std::string_view kGpt2Split =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kShownChars) text = absl::StrCat(text.substr(0, kShownChars), "...");
  return text;
}

absl::Status Wrong(const std::string& where, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status Unsupported(const std::string& where, const Json& found, const char* supported) {
  return Wrong(where, absl::StrCat(Shown(found), " is not supported; supported: ", supported));
}

// The value at `key`; null if there is none.
const Json& At(const Json& object, const char* key) {
  static const Json null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

absl::Status CheckKeys(const Json& object, const std::string& where,
                       std::initializer_list<const char*> known) {
  if (!object.is_object()) return Wrong(where, absl::StrCat("expected an object, found ", Shown(object)));
  for (const auto& [key, value] : object.items()) {
    bool is_known = false;
    for (const char* name : known) is_known = is_known || key == name;
    if (!is_known) return Wrong(where, absl::StrCat("unknown key \"", key.substr(0, kShownChars), "\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ReadBool(const Json& object, const char* key, const std::string& where) {
  const Json& value = At(object, key);
  if (value.is_null()) return false;
  if (!value.is_boolean()) {
    return Wrong(absl::StrCat(where, ".", key), absl::StrCat("expected true or false, found ", Shown(value)));
  }
  return value.get<bool>();
}

absl::StatusOr<std::string> ReadType(const Json& object, const std::string& where) {
  if (object.is_object() && At(object, "type").is_string()) return At(object, "type").get<std::string>();
  return Wrong(where, absl::StrCat("expected an object with a \"type\", found ", Shown(object)));
}

absl::StatusOr<TokenId> ReadId(const Json& value, const std::string& where) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > kMaxTokenId) ||
      value.get<int64_t>() < 0) {
    return Wrong(where,
                 absl::StrCat("expected a token id from 0 to ", kMaxTokenId, ", found ", Shown(value)));
  }
  return static_cast<TokenId>(value.get<int64_t>());
}

// The members of a Sequence; of any other object, the object itself.
absl::StatusOr<std::vector<std::pair<std::string, const Json*>>> Members(const Json& value, const char* list,
                                                                         const std::string& where) {
  std::vector<std::pair<std::string, const Json*>> members;
  DR_ASSIGN_OR_RETURN(const std::string type, ReadType(value, where));
  if (type != "Sequence") {
    members.emplace_back(where, &value);
    return members;
  }
  DR_RETURN_IF_ERROR(CheckKeys(value, where, {"type", list}));
  const Json& sequence = At(value, list);
  if (!sequence.is_array()) return Wrong(where, absl::StrCat("expected a list \"", list, "\""));
  for (size_t i = 0; i < sequence.size(); ++i) {
    members.emplace_back(absl::StrCat(where, ".", list, "[", i, "]"), &sequence[i]);
  }
  return members;
}

class Reader {
 public:
  absl::StatusOr<TokenizerSpec> Read(const Json& root) {
    DR_RETURN_IF_ERROR(CheckKeys(root, "the file",
                                 {"version", "truncation", "padding", "added_tokens", "normalizer",
                                  "pre_tokenizer", "post_processor", "decoder", "model"}));
    for (const char* key : {"truncation", "padding"}) {
      if (!At(root, key).is_null()) return Unsupported(key, At(root, key), "null");
    }
    DR_RETURN_IF_ERROR(ReadModel(At(root, "model")));
    DR_RETURN_IF_ERROR(ReadAddedTokens(At(root, "added_tokens")));
    DR_RETURN_IF_ERROR(ReadNormalizer(At(root, "normalizer")));
    DR_RETURN_IF_ERROR(ReadPreTokenizer(At(root, "pre_tokenizer")));
    DR_RETURN_IF_ERROR(CheckDecoder(At(root, "decoder")));
    DR_RETURN_IF_ERROR(CheckPostProcessor(At(root, "post_processor")));
    return builder_.Take();
  }

 private:
  absl::Status ReadModel(const Json& model) {
    DR_RETURN_IF_ERROR(
        CheckKeys(model, "model",
                  {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                   "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"}));
    // Files from before the field `type` have this type.
    if (const Json& type = At(model, "type"); !type.is_null() && type != "BPE") {
      return Unsupported("model.type", type, "\"BPE\"");
    }
    if (const Json& dropout = At(model, "dropout"); !dropout.is_null() && dropout != 0) {
      return Unsupported("model.dropout", dropout, "null");
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& affix = At(model, key);
      if (!affix.is_null() && affix != "") return Unsupported(absl::StrCat("model.", key), affix, "null");
    }
    DR_ASSIGN_OR_RETURN(const bool byte_fallback, ReadBool(model, "byte_fallback", "model"));
    if (byte_fallback) return Unsupported("model.byte_fallback", true, "false");
    DR_ASSIGN_OR_RETURN(builder_.spec().ignore_merges, ReadBool(model, "ignore_merges", "model"));
    // unk_token and fuse_unk have no effect: every byte has a token.
    DR_RETURN_IF_ERROR(ReadVocab(At(model, "vocab")));
    return ReadMerges(At(model, "merges"));
  }

  absl::Status ReadVocab(const Json& vocab) {
    if (!vocab.is_object()) return Wrong("model.vocab", "expected an object from token to id");
    builder_.spec().vocab.reserve(vocab.size());
    for (const auto& [token, value] : vocab.items()) {
      const std::string where = absl::StrCat("model.vocab[\"", token.substr(0, kShownChars), "\"]");
      DR_ASSIGN_OR_RETURN(const TokenId id, ReadId(value, where));
      DR_RETURN_IF_ERROR(builder_.AddToVocab(token, id, where));
    }
    return builder_.FindByteTokens("model.vocab");
  }

  absl::Status ReadMerges(const Json& merges) {
    if (!merges.is_array()) return Wrong("model.merges", "expected a list");
    if (merges.size() > static_cast<size_t>(kMaxTokenId)) {
      return Wrong("model.merges", absl::StrCat("more than ", kMaxTokenId, " entries"));
    }
    builder_.spec().merges.reserve(merges.size());
    for (size_t i = 0; i < merges.size(); ++i) {
      const std::string where = absl::StrCat("model.merges[", i, "]");
      const Json& entry = merges[i];
      std::vector<std::string> pair;
      if (entry.is_string()) {
        pair = absl::StrSplit(entry.get_ref<const std::string&>(), ' ');
      } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
        pair = {entry[0].get<std::string>(), entry[1].get<std::string>()};
      }
      if (pair.size() != 2) {
        return Wrong(where,
                     absl::StrCat("expected \"left right\" or [\"left\", \"right\"], found ", Shown(entry)));
      }
      DR_RETURN_IF_ERROR(builder_.AddMerge(pair[0], pair[1], where));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAddedTokens(const Json& tokens) {
    if (tokens.is_null()) return absl::OkStatus();
    if (!tokens.is_array()) return Wrong("added_tokens", "expected a list");
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string where = absl::StrCat("added_tokens[", i, "]");
      const Json& entry = tokens[i];
      DR_RETURN_IF_ERROR(CheckKeys(
          entry, where, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}));
      for (const char* key : {"single_word", "lstrip", "rstrip"}) {
        DR_ASSIGN_OR_RETURN(const bool set, ReadBool(entry, key, where));
        if (set) return Unsupported(absl::StrCat(where, ".", key), true, "false");
      }
      AddedToken token;
      if (!At(entry, "content").is_string() || At(entry, "content") == "") {
        return Wrong(absl::StrCat(where, ".content"), "expected a string that is not empty");
      }
      token.content = At(entry, "content").get<std::string>();
      DR_ASSIGN_OR_RETURN(token.id, ReadId(At(entry, "id"), absl::StrCat(where, ".id")));
      DR_ASSIGN_OR_RETURN(token.special, ReadBool(entry, "special", where));
      DR_ASSIGN_OR_RETURN(token.normalized, ReadBool(entry, "normalized", where));
      DR_RETURN_IF_ERROR(builder_.AddAdded(std::move(token), where));
    }
    return absl::OkStatus();
  }

  absl::Status ReadNormalizer(const Json& normalizer) {
    if (normalizer.is_null()) return absl::OkStatus();
    DR_ASSIGN_OR_RETURN(const auto members, Members(normalizer, "normalizers", "normalizer"));
    for (const auto& [where, member] : members) {
      DR_ASSIGN_OR_RETURN(const std::string type, ReadType(*member, where));
      if (type != "NFC") return Unsupported(where, *member, "none, NFC");
      builder_.spec().nfc = true;
    }
    return absl::OkStatus();
  }

  absl::Status ReadPreTokenizer(const Json& pre_tokenizer) {
    DR_ASSIGN_OR_RETURN(const auto members, Members(pre_tokenizer, "pretokenizers", "pre_tokenizer"));
    bool byte_level = false;
    for (const auto& [where, member] : members) {
      DR_ASSIGN_OR_RETURN(const std::string type, ReadType(*member, where));
      if (byte_level) return Wrong(where, absl::StrCat(type, " after ByteLevel is not supported"));
      if (type == "Split") {
        DR_RETURN_IF_ERROR(ReadSplit(*member, where));
      } else if (type == "ByteLevel") {
        DR_RETURN_IF_ERROR(ReadByteLevel(*member, where));
        byte_level = true;
      } else {
        return Unsupported(where, *member, "Split, ByteLevel");
      }
    }
    if (!byte_level)
      return Wrong("pre_tokenizer", "has no ByteLevel; only byte-level vocabularies are supported");
    return absl::OkStatus();
  }

  absl::Status ReadSplit(const Json& split, const std::string& where) {
    DR_RETURN_IF_ERROR(CheckKeys(split, where, {"type", "pattern", "behavior", "invert"}));
    const Json& pattern = At(split, "pattern");
    if (!pattern.is_object() || pattern.size() != 1 || !At(pattern, "Regex").is_string()) {
      return Unsupported(where + ".pattern", pattern, "{\"Regex\": ...}");
    }
    if (At(split, "behavior") != "Isolated") {
      return Unsupported(where + ".behavior", At(split, "behavior"), "\"Isolated\"");
    }
    DR_ASSIGN_OR_RETURN(const bool invert, ReadBool(split, "invert", where));
    if (invert) return Unsupported(where + ".invert", true, "false");
    builder_.spec().splits.push_back(At(pattern, "Regex").get<std::string>());
    return absl::OkStatus();
  }

  absl::Status ReadByteLevel(const Json& byte_level, const std::string& where) {
    // trim_offsets changes only offsets, which are not used here.
    DR_RETURN_IF_ERROR(
        CheckKeys(byte_level, where, {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
    // Both are true if they are missing.
    for (const char* key : {"add_prefix_space", "use_regex"}) {
      if (!At(byte_level, key).is_null() && !At(byte_level, key).is_boolean()) {
        return Wrong(absl::StrCat(where, ".", key), "expected true or false");
      }
    }
    if (At(byte_level, "add_prefix_space") != false) {
      return Unsupported(where + ".add_prefix_space", true, "false");
    }
    if (At(byte_level, "use_regex") != false) builder_.spec().splits.emplace_back(kGpt2Split);
    return absl::OkStatus();
  }

  static absl::Status CheckDecoder(const Json& decoder) {
    DR_ASSIGN_OR_RETURN(const auto members, Members(decoder, "decoders", "decoder"));
    if (members.size() != 1) return Unsupported("decoder", decoder, "ByteLevel");
    DR_ASSIGN_OR_RETURN(const std::string type, ReadType(*members[0].second, members[0].first));
    if (type != "ByteLevel") return Unsupported(members[0].first, *members[0].second, "ByteLevel");
    return absl::OkStatus();
  }

  // A post-processor adds tokens like bos. Here the chat template adds these. The post-processors that are
  // accepted change ids in no other way.
  static absl::Status CheckPostProcessor(const Json& processor) {
    if (processor.is_null()) return absl::OkStatus();
    DR_ASSIGN_OR_RETURN(const auto members, Members(processor, "processors", "post_processor"));
    for (const auto& [where, member] : members) {
      DR_ASSIGN_OR_RETURN(const std::string type, ReadType(*member, where));
      if (type != "ByteLevel" && type != "TemplateProcessing") {
        return Unsupported(where, *member, "ByteLevel, TemplateProcessing");
      }
    }
    return absl::OkStatus();
  }

  TokenizerSpecBuilder builder_;
};

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTokenizerJson(std::string_view text) {
  const Json root = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) {
    return absl::InvalidArgumentError("not valid JSON (cut short, perhaps); fetch the file again");
  }
  return Reader().Read(root);
}

}  // namespace deeprack::coordinator
