#include "coordinator/chat/jinja/print.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace deeprack::coordinator::jinja {
namespace {

constexpr int kMaxReprDepth = 256;

bool IsPrintable(char32_t character) {
  if (character == U' ') return true;
  switch (u_charType(static_cast<UChar32>(character))) {
    case U_UNASSIGNED:
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_PRIVATE_USE_CHAR:
    case U_SURROGATE:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      return true;
  }
}

// The escape that Python's repr writes for the character; empty: the character itself.
std::string ReprEscape(char32_t character, char quote) {
  switch (character) {
    case U'\\':
      return "\\\\";
    case U'\n':
      return "\\n";
    case U'\r':
      return "\\r";
    case U'\t':
      return "\\t";
    default:
      break;
  }
  if (character == static_cast<char32_t>(quote)) return std::string("\\") + quote;
  if (IsPrintable(character)) return "";
  const auto code = static_cast<uint32_t>(character);
  if (code < 0x100) return absl::StrFormat("\\x%02x", code);
  if (code < 0x10000) return absl::StrFormat("\\u%04x", code);
  return absl::StrFormat("\\U%08x", code);
}

// The escape that JSON needs for the character; empty: the character itself.
std::string JsonEscape(char32_t character, bool ensure_ascii) {
  switch (character) {
    case U'"':
      return "\\\"";
    case U'\\':
      return "\\\\";
    case U'\n':
      return "\\n";
    case U'\r':
      return "\\r";
    case U'\t':
      return "\\t";
    case U'\b':
      return "\\b";
    case U'\f':
      return "\\f";
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(character);
  if (code < 0x20 || (ensure_ascii && code > 0x7E && code < 0x10000)) return absl::StrFormat("\\u%04x", code);
  if (ensure_ascii && code >= 0x10000) {
    return absl::StrFormat("\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                           0xDC00 + ((code - 0x10000) & 0x3FF));
  }
  return "";
}

// Appends `text`, with escapes in place of the characters that have an escape. An escape has its character's
// origin.
template <typename Escape>
void AppendEscaped(const Text& text, const Escape& escape, Text& out) {
  size_t run = 0, done = 0;
  for (size_t at = 0; at < text.size();) {
    while (text.runs()[run].end <= at) ++run;
    const size_t length = CharacterBytes(text.bytes(), at);
    const auto byte = static_cast<unsigned char>(text.bytes()[at]);
    const bool is_plain = (byte >= 0x30 && byte < 0x5B) || (byte >= 0x61 && byte < 0x7B);
    const std::string escaped = is_plain ? "" : escape(CharacterAt(text.bytes(), at));
    if (!escaped.empty()) {
      out.AppendSlice(text, done, at);
      out.Append(escaped, text.runs()[run].origin);
      done = at + length;
    }
    at += length;
  }
  out.AppendSlice(text, done, text.size());
}

class Printer {
 public:
  explicit Printer(Text& out) : out_(out) {}

  absl::Status Repr(const Value& value, int depth = 0) {
    if (depth > kMaxReprDepth)
      return absl::ResourceExhaustedError("a value is nested too deeply to be printed");
    if (out_.size() > kMaxTextBytes) return TextTooLong();
    switch (value.kind()) {
      case Kind::kUndefined:
        Write("Undefined");
        break;
      case Kind::kNone:
        Write("None");
        break;
      case Kind::kBool:
        Write(value.boolean() ? "True" : "False");
        break;
      case Kind::kInt:
        Write(absl::StrCat(value.integer()));
        break;
      case Kind::kFloat:
        Write(FloatText(value.number()));
        break;
      case Kind::kString: {
        const bool has_single = value.bytes().find('\'') != std::string::npos;
        const char quote = has_single && value.bytes().find('"') == std::string::npos ? '"' : '\'';
        Write(std::string(1, quote));
        AppendEscaped(
            value.text(), [quote](char32_t character) { return ReprEscape(character, quote); }, out_);
        Write(std::string(1, quote));
        break;
      }
      case Kind::kSequence:
        return ReprSequence(value.sequence(), depth);
      case Kind::kDict:
        return ReprDict(value.dict(), depth);
      case Kind::kNamespace:
        Write("<Namespace ");
        DR_RETURN_IF_ERROR(ReprDict(value.name_space().attributes, depth));
        Write(">");
        break;
      case Kind::kFunction:
        Write(absl::StrCat("<function ", value.function().name, ">"));
        break;
      case Kind::kLoop:
        Write("<LoopContext>");
        break;
    }
    return absl::OkStatus();
  }

 private:
  void Write(std::string_view bytes) { out_.Append(bytes, Origin::kTemplate); }

  absl::Status ReprSequence(const Sequence& sequence, int depth) {
    if (sequence.kind == SequenceKind::kGenerator) {
      Write("<generator object>");
      return absl::OkStatus();
    }
    const bool is_tuple = sequence.kind == SequenceKind::kTuple,
               is_view = sequence.kind == SequenceKind::kView;
    Write(is_tuple ? "(" : is_view ? "dict_items([" : "[");
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) Write(", ");
      DR_RETURN_IF_ERROR(Repr(sequence.items[i], depth + 1));
    }
    if (is_tuple && sequence.items.size() == 1) Write(",");
    Write(is_tuple ? ")" : is_view ? "])" : "]");
    return absl::OkStatus();
  }

  absl::Status ReprDict(const Dict& dict, int depth) {
    Write("{");
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!first) Write(", ");
      first = false;
      DR_RETURN_IF_ERROR(Repr(key, depth + 1));
      Write(": ");
      DR_RETURN_IF_ERROR(Repr(value, depth + 1));
    }
    Write("}");
    return absl::OkStatus();
  }

  Text& out_;
};

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Text& out) : style_(style), out_(out) {
    item_separator_ = style.item_separator.value_or(Text(style.indent ? "," : ", ", Origin::kTemplate));
    key_separator_ = style.key_separator.value_or(Text(": ", Origin::kTemplate));
  }

  absl::Status Dump(const Value& value, int level) {
    if (out_.size() > kMaxTextBytes) return TextTooLong();
    switch (value.kind()) {
      case Kind::kNone:
        Write("null");
        break;
      case Kind::kBool:
        Write(value.boolean() ? "true" : "false");
        break;
      case Kind::kInt:
        Write(absl::StrCat(value.integer()));
        break;
      case Kind::kFloat:
        Write(JsonFloat(value.number()));
        break;
      case Kind::kString:
        WriteString(value.text());
        break;
      case Kind::kSequence:
        if (value.sequence().kind == SequenceKind::kGenerator ||
            value.sequence().kind == SequenceKind::kView) {
          return NotJson(value);
        }
        return DumpItems("[", "]", value.sequence().items.size(), level,
                         [&](size_t i) { return Dump(value.sequence().items[i], level + 1); });
      case Kind::kDict: {
        std::vector<const Dict::Entry*> entries;
        for (const Dict::Entry& entry : value.dict().entries()) entries.push_back(&entry);
        if (style_.sort_keys) DR_RETURN_IF_ERROR(Sort(entries));
        return DumpItems("{", "}", entries.size(), level, [&](size_t i) -> absl::Status {
          DR_RETURN_IF_ERROR(WriteKey(entries[i]->first));
          out_.Append(key_separator_);
          return Dump(entries[i]->second, level + 1);
        });
      }
      default:
        return NotJson(value);
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status NotJson(const Value& value) {
    if (value.is_undefined())
      return absl::InvalidArgumentError(absl::StrCat(value.why(), ": JSON cannot express it"));
    return absl::InvalidArgumentError(
        absl::StrCat("Object of type ", TypeName(value), " is not JSON serializable"));
  }

  static std::string JsonFloat(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return FloatText(number);
  }

  static absl::Status Sort(std::vector<const Dict::Entry*>& entries) {
    absl::Status status;
    std::stable_sort(entries.begin(), entries.end(), [&](const Dict::Entry* a, const Dict::Entry* b) {
      const absl::StatusOr<bool> less = Less(a->first, b->first);
      if (!less.ok()) status.Update(less.status());
      return less.ok() && *less;
    });
    return status;
  }

  template <typename DumpItem>
  absl::Status DumpItems(std::string_view open, std::string_view close, size_t count, int level,
                         const DumpItem& dump_item) {
    Write(open);
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_.Append(item_separator_);
      NewLine(level + 1);
      DR_RETURN_IF_ERROR(dump_item(i));
    }
    if (count > 0) NewLine(level);
    Write(close);
    return absl::OkStatus();
  }

  void NewLine(int level) {
    if (!style_.indent) return;
    Write("\n");
    for (int i = 0; i < level; ++i) out_.Append(*style_.indent);
  }

  absl::Status WriteKey(const Value& key) {
    if (key.is_string()) {
      WriteString(key.text());
      return absl::OkStatus();
    }
    if (!key.is_none() && !key.is_number()) {
      return absl::InvalidArgumentError(
          absl::StrCat("keys of JSON objects must be str, int, float, bool or None, not ", TypeName(key)));
    }
    Write("\"");
    DR_RETURN_IF_ERROR(Dump(key, 0));
    Write("\"");
    return absl::OkStatus();
  }

  void WriteString(const Text& text) {
    Write("\"");
    AppendEscaped(
        text, [this](char32_t character) { return JsonEscape(character, style_.ensure_ascii); }, out_);
    Write("\"");
  }

  void Write(std::string_view bytes) { out_.Append(bytes, Origin::kTemplate); }

  const JsonStyle& style_;
  Text item_separator_, key_separator_;
  Text& out_;
};

}  // namespace

absl::Status TextTooLong() {
  return absl::ResourceExhaustedError(absl::StrCat("a text of more than ", kMaxTextBytes, " bytes"));
}

std::string FloatText(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto shortest = std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::scientific);
  const std::string text(buffer, shortest.ptr);
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) {
    return absl::StrFormat("%se%c%02d", text.substr(0, e), exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  const auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::fixed);
  std::string plain(buffer, fixed.ptr);
  if (plain.find('.') == std::string::npos) plain += ".0";
  return plain;
}

absl::StatusOr<Text> ToText(const Value& value) {
  if (value.is_string()) return value.text();
  Text text;
  if (value.is_undefined()) return text;
  DR_RETURN_IF_ERROR(Printer(text).Repr(value));
  return text;
}

absl::StatusOr<Text> ToJson(const Value& value, const JsonStyle& style) {
  Text text;
  DR_RETURN_IF_ERROR(JsonWriter(style, text).Dump(value, 0));
  return text;
}

}  // namespace deeprack::coordinator::jinja
