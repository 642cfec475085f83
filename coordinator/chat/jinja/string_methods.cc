#include <unicode/uchar.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/arguments.h"
#include "coordinator/chat/jinja/methods.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {
namespace {

using MethodCode = absl::StatusOr<Value> (*)(const Text& self, const Arguments& given);

template <bool kLeft, bool kRight>
absl::StatusOr<Value> StripMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("strip", given, {"chars"}));
  std::optional<Text> chars;
  if (arguments.Has(0) && !arguments.Get(0).is_none()) {
    DR_ASSIGN_OR_RETURN(chars, arguments.RequiredString(0));
  }
  const Stripped rest = Strip(self.bytes(), chars ? &chars->bytes() : nullptr, kLeft, kRight);
  return Value::String(self.Slice(rest.begin, rest.end));
}

// The words between white space; at most `limit` cuts, counted from the left or the right. The part that is
// not cut keeps its white space, except the white space at the cut.
absl::StatusOr<std::vector<Value>> SplitAtSpace(const Text& self, int64_t limit, bool from_right) {
  const std::string& bytes = self.bytes();
  std::vector<Stripped> words;
  bool in_word = false;
  for (size_t at = 0; at < bytes.size(); at += CharacterBytes(bytes, at)) {
    const bool is_space = IsSpace(CharacterAt(bytes, at));
    if (!is_space && !in_word) {
      if (words.size() >= kMaxItems) return TooManyItems();
      words.push_back({at, at});
    }
    in_word = !is_space;
    if (in_word) words.back().end = at + CharacterBytes(bytes, at);
  }
  size_t first = 0, last = words.size();
  if (limit >= 0 && static_cast<int64_t>(words.size()) > limit) {
    if (from_right) {
      first = words.size() - static_cast<size_t>(limit) - 1;
      words[first].begin = 0;
    } else {
      last = static_cast<size_t>(limit) + 1;
      words[last - 1].end = bytes.size();
    }
  }
  std::vector<Value> parts;
  for (size_t i = first; i < last; ++i)
    parts.push_back(Value::String(self.Slice(words[i].begin, words[i].end)));
  return parts;
}

absl::StatusOr<std::vector<Value>> SplitAt(const Text& self, const Text& separator, int64_t limit,
                                           bool from_right) {
  std::vector<size_t> places;
  if (from_right) {
    std::string_view rest = self.bytes();
    while (limit < 0 || static_cast<int64_t>(places.size()) < limit) {
      const size_t found = rest.rfind(separator.bytes());
      if (found == rest.npos) break;
      if (places.size() >= kMaxItems) return TooManyItems();
      places.push_back(found);
      rest = rest.substr(0, found);
    }
    std::reverse(places.begin(), places.end());
  } else {
    places = FindAll(self.bytes(), separator.bytes());
    if (limit >= 0 && static_cast<int64_t>(places.size()) > limit) places.resize(static_cast<size_t>(limit));
  }
  if (places.size() >= kMaxItems) return TooManyItems();
  std::vector<Value> parts;
  size_t begin = 0;
  for (const size_t place : places) {
    parts.push_back(Value::String(self.Slice(begin, place)));
    begin = place + separator.size();
  }
  parts.push_back(Value::String(self.Slice(begin, self.size())));
  return parts;
}

template <bool kFromRight>
absl::StatusOr<Value> SplitMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("split", given, {"sep", "maxsplit"}));
  DR_ASSIGN_OR_RETURN(const int64_t limit, arguments.Integer(1, -1));
  if (!arguments.Has(0) || arguments.Get(0).is_none()) {
    DR_ASSIGN_OR_RETURN(std::vector<Value> parts, SplitAtSpace(self, limit, kFromRight));
    return Value::List(std::move(parts));
  }
  DR_ASSIGN_OR_RETURN(const Text separator, arguments.String(0, ""));
  if (separator.empty()) return absl::InvalidArgumentError("empty separator");
  DR_ASSIGN_OR_RETURN(std::vector<Value> parts, SplitAt(self, separator, limit, kFromRight));
  return Value::List(std::move(parts));
}

absl::StatusOr<Value> SplitLinesMethod(const Text& self, const Arguments& given) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("splitlines", given, {}).status());
  std::vector<Value> lines;
  for (Text& line : SplitLines(self)) {
    if (lines.size() >= kMaxItems) return TooManyItems();
    lines.push_back(Value::String(std::move(line)));
  }
  return Value::List(std::move(lines));
}

template <bool kStart>
absl::StatusOr<Value> EdgeMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments,
                      BoundArguments::Bind(kStart ? "startswith" : "endswith", given, {"part"}));
  DR_ASSIGN_OR_RETURN(const Value part, arguments.Required(0));
  std::vector<Value> parts = {part};
  if (part.is(Kind::kSequence) && part.sequence().kind == SequenceKind::kTuple) parts = part.sequence().items;
  bool matches = false;
  for (const Value& candidate : parts) {
    if (!candidate.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(
          kStart ? "startswith" : "endswith", " takes a str or a tuple of str, not ", TypeName(candidate)));
    }
    matches |=
        kStart ? self.bytes().starts_with(candidate.bytes()) : self.bytes().ends_with(candidate.bytes());
  }
  return Value::Bool(matches);
}

absl::StatusOr<Value> ReplaceMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("replace", given, {"old", "new", "count"}));
  DR_ASSIGN_OR_RETURN(const Text from, arguments.RequiredString(0));
  DR_ASSIGN_OR_RETURN(const Text to, arguments.RequiredString(1));
  DR_ASSIGN_OR_RETURN(const int64_t count, arguments.Integer(2, -1));
  DR_ASSIGN_OR_RETURN(Text replaced, Replace(self, from, to, count));
  return Value::String(std::move(replaced));
}

template <Case kTo>
absl::StatusOr<Value> CaseMethod(const Text& self, const Arguments& given) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("upper, lower, title and capitalize", given, {}).status());
  return Value::String(ChangeCase(self, kTo));
}

template <bool kFromRight, bool kMustExist>
absl::StatusOr<Value> FindMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("find", given, {"part"}));
  DR_ASSIGN_OR_RETURN(const Text part, arguments.RequiredString(0));
  const size_t found = kFromRight ? self.bytes().rfind(part.bytes()) : self.bytes().find(part.bytes());
  if (found != std::string::npos) {
    return Value::Int(static_cast<int64_t>(CharacterCount(std::string_view(self.bytes()).substr(0, found))));
  }
  if (kMustExist) return absl::InvalidArgumentError("substring not found");
  return Value::Int(-1);
}

absl::StatusOr<Value> CountMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("count", given, {"part"}));
  DR_ASSIGN_OR_RETURN(const Text part, arguments.RequiredString(0));
  if (part.empty()) return Value::Int(static_cast<int64_t>(CharacterCount(self.bytes())) + 1);
  return Value::Int(static_cast<int64_t>(FindAll(self.bytes(), part.bytes()).size()));
}

absl::StatusOr<Value> JoinMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("join", given, {"items"}));
  DR_ASSIGN_OR_RETURN(const Value value, arguments.Required(0));
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  Text joined;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("join: item ", i, " is no str but ", TypeName(items[i])));
    }
    if (i > 0) joined.Append(self);
    joined.Append(items[i].text());
    if (joined.size() > kMaxTextBytes) return TextTooLong();
  }
  return Value::String(std::move(joined));
}

template <bool kFromRight>
absl::StatusOr<Value> PartitionMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("partition", given, {"sep"}));
  DR_ASSIGN_OR_RETURN(const Text separator, arguments.RequiredString(0));
  if (separator.empty()) return absl::InvalidArgumentError("empty separator");
  const size_t found =
      kFromRight ? self.bytes().rfind(separator.bytes()) : self.bytes().find(separator.bytes());
  const Value empty = Value::Literal("");
  if (found == std::string::npos) {
    const Value whole = Value::String(self);
    return kFromRight ? Value::Tuple({empty, empty, whole}) : Value::Tuple({whole, empty, empty});
  }
  return Value::Tuple({Value::String(self.Slice(0, found)), Value::String(separator),
                       Value::String(self.Slice(found + separator.size(), self.size()))});
}

template <bool kStart>
absl::StatusOr<Value> RemoveMethod(const Text& self, const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("removeprefix", given, {"part"}));
  DR_ASSIGN_OR_RETURN(const Text part, arguments.RequiredString(0));
  if (kStart && self.bytes().starts_with(part.bytes()))
    return Value::String(self.Slice(part.size(), self.size()));
  if (!kStart && self.bytes().ends_with(part.bytes())) {
    return Value::String(self.Slice(0, self.size() - part.size()));
  }
  return Value::String(self);
}

// True if the text is not empty and each character has the property.
template <bool (*kHas)(char32_t)>
absl::StatusOr<Value> EachMethod(const Text& self, const Arguments& given) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("isdigit and its like", given, {}).status());
  bool each = !self.empty();
  for (size_t at = 0; at < self.size(); at += CharacterBytes(self.bytes(), at)) {
    each &= kHas(CharacterAt(self.bytes(), at));
  }
  return Value::Bool(each);
}

int NumericType(char32_t c) { return u_getIntPropertyValue(static_cast<UChar32>(c), UCHAR_NUMERIC_TYPE); }
bool IsDecimal(char32_t c) { return NumericType(c) == U_NT_DECIMAL; }
bool IsDigit(char32_t c) { return NumericType(c) == U_NT_DECIMAL || NumericType(c) == U_NT_DIGIT; }
bool IsNumeric(char32_t c) { return NumericType(c) != U_NT_NONE; }
bool IsAlpha(char32_t c) { return u_isalpha(static_cast<UChar32>(c)) != 0; }
bool IsAlnum(char32_t c) { return IsAlpha(c) || IsNumeric(c); }

// True if a letter has the case and none has the other.
template <bool kUpper>
absl::StatusOr<Value> IsCaseMethod(const Text& self, const Arguments& given) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("isupper and islower", given, {}).status());
  bool any = false;
  for (size_t at = 0; at < self.size(); at += CharacterBytes(self.bytes(), at)) {
    const auto character = static_cast<UChar32>(CharacterAt(self.bytes(), at));
    const bool upper = u_isUUppercase(character) != 0, lower = u_isULowercase(character) != 0;
    if (kUpper ? lower || u_istitle(character) : upper || u_istitle(character)) return Value::Bool(false);
    any |= kUpper ? upper : lower;
  }
  return Value::Bool(any);
}

// '{} {0} {name}'.format(...): fields without attributes and without a format.
absl::StatusOr<Value> FormatMethod(const Text& self, const Arguments& given) {
  const std::string_view bytes = self.bytes();
  Text out;
  size_t next = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t brace = bytes.find_first_of("{}", at);
    if (brace == bytes.npos) {
      out.AppendSlice(self, at, bytes.size());
      break;
    }
    out.AppendSlice(self, at, brace);
    if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
      out.AppendSlice(self, brace, brace + 1);
      at = brace + 2;
      continue;
    }
    const size_t close = bytes.find('}', brace);
    if (bytes[brace] == '}' || close == bytes.npos)
      return absl::InvalidArgumentError("format: a brace stands alone");
    const std::string_view name = bytes.substr(brace + 1, close - brace - 1);
    const Value* value = nullptr;
    if (name.find_first_not_of("0123456789") == name.npos && name.size() < 5) {
      const size_t index = name.empty() ? next++ : static_cast<size_t>(std::stoi(std::string(name)));
      if (index < given.positional.size()) value = &given.positional[index];
    }
    for (const auto& [key, argument] : given.named) {
      if (key == name) value = &argument;
    }
    if (value == nullptr)
      return absl::InvalidArgumentError(absl::StrCat("format: no argument for {", View(name), "}"));
    DR_ASSIGN_OR_RETURN(const Text text, ToText(*value));
    out.Append(text);
    if (out.size() > kMaxTextBytes) return TextTooLong();
    at = close + 1;
  }
  return Value::String(std::move(out));
}

struct NamedMethod {
  std::string_view name;
  MethodCode code;
};

constexpr NamedMethod kMethods[] = {
    {"strip", StripMethod<true, true>},
    {"lstrip", StripMethod<true, false>},
    {"rstrip", StripMethod<false, true>},
    {"split", SplitMethod<false>},
    {"rsplit", SplitMethod<true>},
    {"splitlines", SplitLinesMethod},
    {"startswith", EdgeMethod<true>},
    {"endswith", EdgeMethod<false>},
    {"replace", ReplaceMethod},
    {"upper", CaseMethod<Case::kUpper>},
    {"lower", CaseMethod<Case::kLower>},
    {"title", CaseMethod<Case::kTitle>},
    {"capitalize", CaseMethod<Case::kCapitalize>},
    {"find", FindMethod<false, false>},
    {"rfind", FindMethod<true, false>},
    {"index", FindMethod<false, true>},
    {"rindex", FindMethod<true, true>},
    {"count", CountMethod},
    {"join", JoinMethod},
    {"partition", PartitionMethod<false>},
    {"rpartition", PartitionMethod<true>},
    {"removeprefix", RemoveMethod<true>},
    {"removesuffix", RemoveMethod<false>},
    {"isdecimal", EachMethod<IsDecimal>},
    {"isdigit", EachMethod<IsDigit>},
    {"isnumeric", EachMethod<IsNumeric>},
    {"isalpha", EachMethod<IsAlpha>},
    {"isalnum", EachMethod<IsAlnum>},
    {"isspace", EachMethod<IsSpace>},
    {"isupper", IsCaseMethod<true>},
    {"islower", IsCaseMethod<false>},
    {"format", FormatMethod},
};

}  // namespace

std::vector<size_t> FindAll(std::string_view text, std::string_view part) {
  std::vector<size_t> places;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
    places.push_back(at);
  return places;
}

absl::StatusOr<Text> Replace(const Text& text, const Text& from, const Text& to, int64_t count) {
  std::vector<size_t> places;
  if (from.empty()) {
    for (size_t at = 0; at < text.size(); at += CharacterBytes(text.bytes(), at)) places.push_back(at);
    places.push_back(text.size());
  } else {
    places = FindAll(text.bytes(), from.bytes());
  }
  if (count >= 0 && static_cast<int64_t>(places.size()) > count) places.resize(static_cast<size_t>(count));
  if (!places.empty() && to.size() > kMaxTextBytes / places.size()) return TextTooLong();
  Text replaced;
  size_t done = 0;
  for (const size_t place : places) {
    replaced.AppendSlice(text, done, place);
    replaced.Append(to);
    done = place + from.size();
  }
  replaced.AppendSlice(text, done, text.size());
  if (replaced.size() > kMaxTextBytes) return TextTooLong();
  return replaced;
}

absl::StatusOr<Text> EscapeHtml(const Text& text) {
  Text escaped = text;
  escaped.set_html(true);
  if (text.is_html()) return escaped;
  constexpr std::pair<const char*, const char*> kEntities[] = {
      {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&#34;"}, {"'", "&#39;"}};
  for (const auto& [sign, entity] : kEntities) {
    DR_ASSIGN_OR_RETURN(escaped,
                        Replace(escaped, Text(sign, Origin::kTemplate), Text(entity, Origin::kTemplate), -1));
  }
  escaped.set_html(true);
  return escaped;
}

std::vector<Text> SplitLines(const Text& text) {
  std::vector<Text> lines;
  const std::string& bytes = text.bytes();
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const char32_t c = CharacterAt(bytes, at);
    size_t next = at + CharacterBytes(bytes, at);
    const bool breaks =
        (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (breaks) {
      if (c == U'\r' && next < bytes.size() && bytes[next] == '\n') ++next;
      lines.push_back(text.Slice(begin, at));
      begin = next;
    }
    at = next;
  }
  if (begin < bytes.size()) lines.push_back(text.Slice(begin, bytes.size()));
  return lines;
}

std::optional<Value> StringMethod(const Value& value, std::string_view name) {
  for (const NamedMethod& method : kMethods) {
    if (method.name != name) continue;
    return Value::Of(Function{std::string(name), [value, code = method.code](const Arguments& given) {
                                return code(value.text(), given);
                              }});
  }
  return std::nullopt;
}

}  // namespace deeprack::coordinator::jinja
