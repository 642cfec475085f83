#include "coordinator/chat/jinja/lexer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/text.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator::jinja {
namespace {

constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

// Line breaks become \n, and the last one goes.
std::string Normalize(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80);
}

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) {
      size_t tag = source_.find('{', at_);
      while (tag != std::string::npos && !(tag + 1 < source_.size() && IsTagSign(source_[tag + 1]))) {
        tag = source_.find('{', tag + 1);
      }
      if (tag == std::string::npos) {
        AddText(source_.size(), source_.size());
        break;
      }
      DR_RETURN_IF_ERROR(ReadTag(tag));
    }
    tokens_.push_back({TokenKind::kEnd, line_, ""});
    return std::move(tokens_);
  }

 private:
  static bool IsTagSign(char c) { return c == '%' || c == '{' || c == '#'; }

  absl::Status Fail(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", View(what)));
  }

  // Moves to `end` and counts the lines between.
  void Advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    at_ = end;
  }

  // Gives out the text up to `end` and moves to `next`.
  void AddText(size_t end, size_t next) {
    if (end > at_) tokens_.push_back({TokenKind::kText, line_, source_.substr(at_, end - at_)});
    Advance(next);
  }

  // The end of the text before a tag at `tag`: less by white space if the tag says so, or if the tag is a
  // block or comment and only white space stands before it on its line.
  size_t TextEnd(size_t tag, char sign, bool is_variable) const {
    const std::string_view text(source_.data() + at_, tag - at_);
    if (sign == '-') return at_ + Strip(text, nullptr, false, true).end;
    if (sign == '+' || is_variable) return tag;
    const size_t line_break = text.rfind('\n');
    const size_t line = line_break == text.npos ? 0 : line_break + 1;
    const bool starts_line = line > 0 || at_ == 0 || source_[at_ - 1] == '\n';
    if (!starts_line) return tag;
    const Stripped rest = Strip(text.substr(line), nullptr, false, true);
    return rest.end == 0 ? at_ + line : tag;
  }

  size_t SkipSpace(size_t at) const {
    return at + Strip(std::string_view(source_).substr(at), nullptr, true, false).begin;
  }

  bool At(size_t at, std::string_view text) const {
    return std::string_view(source_).substr(at, text.size()) == text;
  }

  // If a tag ends at `at` with `close`, the position behind the end, white space that goes with it included.
  std::optional<size_t> TagEnd(size_t at, std::string_view close, bool trims_line) const {
    if (At(at, absl::StrCat("-", View(close)))) return SkipSpace(at + 1 + close.size());
    if (trims_line && At(at, "+") && At(at + 1, close)) return at + 1 + close.size();
    if (!At(at, close)) return std::nullopt;
    at += close.size();
    return trims_line && At(at, "\n") ? at + 1 : at;
  }

  absl::Status ReadTag(size_t tag) {
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    const bool is_signed = sign == '-' || sign == '+';
    const size_t inside = tag + 2 + (is_signed ? 1 : 0);
    if (kind == '%') {
      if (const std::optional<size_t> raw = RawBegin(inside)) return ReadRaw(tag, sign, *raw);
    }
    AddText(TextEnd(tag, sign, kind == '{'), inside);
    if (kind == '#') return SkipComment();
    const bool is_block = kind == '%';
    tokens_.push_back({is_block ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, line_, ""});
    return ReadTokens(is_block);
  }

  // The position behind "raw %}" if a raw block begins at `at`.
  std::optional<size_t> RawBegin(size_t at) const {
    at = SkipSpace(at);
    if (!At(at, "raw")) return std::nullopt;
    return TagEnd(SkipSpace(at + 3), "%}", /*trims_line=*/false);
  }

  absl::Status ReadRaw(size_t tag, char sign, size_t begin) {
    AddText(TextEnd(tag, sign, false), begin);
    for (size_t end = source_.find("{%", at_); end != std::string::npos; end = source_.find("{%", end + 2)) {
      const char end_sign = end + 2 < source_.size() ? source_[end + 2] : ' ';
      size_t name = SkipSpace(end + 2 + (end_sign == '-' || end_sign == '+' ? 1 : 0));
      if (!At(name, "endraw")) continue;
      const std::optional<size_t> next = TagEnd(SkipSpace(name + 6), "%}", /*trims_line=*/true);
      if (!next) continue;
      AddText(TextEnd(end, end_sign, false), *next);
      return absl::OkStatus();
    }
    return Fail("{% raw %} without {% endraw %}");
  }

  absl::Status SkipComment() {
    const size_t close = source_.find("#}", at_);
    if (close == std::string::npos) return Fail("a comment without #}");
    const size_t end =
        close > at_ && (source_[close - 1] == '-' || source_[close - 1] == '+') ? close - 1 : close;
    Advance(*TagEnd(end, "#}", /*trims_line=*/true));
    return absl::OkStatus();
  }

  // The tokens up to the end of the tag.
  absl::Status ReadTokens(bool is_block) {
    const std::string_view close = is_block ? "%}" : "}}";
    std::string open;  // brackets that are open
    while (true) {
      Advance(SkipSpace(at_));
      if (at_ >= source_.size()) return Fail(absl::StrCat("a tag without ", View(close)));
      if (open.empty()) {
        if (const std::optional<size_t> end = TagEnd(at_, close, is_block)) {
          tokens_.push_back({is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, line_, ""});
          Advance(*end);
          return absl::OkStatus();
        }
      }
      const char c = source_[at_];
      if (IsDigit(c)) {
        DR_RETURN_IF_ERROR(ReadNumber());
      } else if (IsNameByte(c)) {
        size_t end = at_;
        while (end < source_.size() && IsNameByte(source_[end])) ++end;
        Add(TokenKind::kName, end);
      } else if (c == '"' || c == '\'') {
        DR_RETURN_IF_ERROR(ReadString());
      } else {
        DR_RETURN_IF_ERROR(ReadOperator(open));
      }
    }
  }

  void Add(TokenKind kind, size_t end) {
    tokens_.push_back({kind, line_, source_.substr(at_, end - at_)});
    at_ = end;
  }

  absl::Status ReadOperator(std::string& open) {
    for (const std::string_view sign : kOperators) {
      if (!At(at_, sign)) continue;
      const char c = sign[0];
      if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty() || open.back() != c)
          return Fail(absl::StrCat("unexpected '", std::string(1, c), "'"));
        open.pop_back();
      }
      Add(TokenKind::kOperator, at_ + sign.size());
      return absl::OkStatus();
    }
    return Fail(
        absl::StrCat("unexpected character '", source_.substr(at_, CharacterBytes(source_, at_)), "'"));
  }

  size_t SkipDigits(size_t at) const {
    while (at < source_.size() && (IsDigit(source_[at]) || (source_[at] == '_' && at + 1 < source_.size() &&
                                                            IsDigit(source_[at + 1])))) {
      ++at;
    }
    return at;
  }

  absl::Status ReadNumber() {
    size_t end = SkipDigits(at_);
    bool is_float = false;
    // "x.0.1": the digits after a dot are one index, no float.
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (!after_dot && At(end, ".") && end + 1 < source_.size() && IsDigit(source_[end + 1])) {
      end = SkipDigits(end + 1);
      is_float = true;
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t digits = end + 1;
      if (digits < source_.size() && (source_[digits] == '+' || source_[digits] == '-')) ++digits;
      if (digits < source_.size() && IsDigit(source_[digits])) {
        end = SkipDigits(digits);
        is_float = true;
      }
    }
    if (end < source_.size() && IsNameByte(source_[end])) return Fail("a number with letters");
    Add(is_float ? TokenKind::kFloat : TokenKind::kInteger, end);
    std::erase(tokens_.back().text, '_');
    return absl::OkStatus();
  }

  absl::Status ReadString() {
    const char quote = source_[at_];
    std::string text;
    size_t at = at_ + 1;
    while (at < source_.size() && source_[at] != quote) {
      if (source_[at] != '\\') {
        text += source_[at++];
        continue;
      }
      DR_RETURN_IF_ERROR(ReadEscape(at, text));
    }
    if (at >= source_.size()) return Fail("a string without its closing quote");
    tokens_.push_back({TokenKind::kString, line_, std::move(text)});
    Advance(at + 1);
    return absl::OkStatus();
  }

  // Reads the escape at source_[at], a backslash, and moves `at` behind it.
  absl::Status ReadEscape(size_t& at, std::string& text) {
    constexpr std::string_view kSigns = "\\'\"abfnrtv";
    constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    if (at + 1 >= source_.size()) return Fail("a string ends with a backslash");
    const char sign = source_[at + 1];
    if (const size_t known = kSigns.find(sign); known != kSigns.npos) {
      text += kMeanings[known];
      at += 2;
      return absl::OkStatus();
    }
    if (sign == '\n') {
      at += 2;
      return absl::OkStatus();
    }
    size_t digits = 0, begin = at + 2;
    int base = 16;
    if (sign == 'x') digits = 2;
    if (sign == 'u') digits = 4;
    if (sign == 'U') digits = 8;
    if (sign >= '0' && sign <= '7') {
      base = 8;
      begin = at + 1;
      while (digits < 3 && begin + digits < source_.size() && source_[begin + digits] >= '0' &&
             source_[begin + digits] <= '7') {
        ++digits;
      }
    }
    if (digits == 0) {  // an unknown escape stays as it is written
      text += source_[at++];
      return absl::OkStatus();
    }
    uint64_t code = 0;
    for (size_t i = begin; i < begin + digits; ++i) {
      const int value = i < source_.size() ? HexValue(source_[i]) : -1;
      if (value < 0) return Fail("an escape in a string has too few digits");
      code = code * static_cast<uint64_t>(base) + static_cast<uint64_t>(value);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      return Fail("an escape in a string is no character");
    AppendCharacter(static_cast<char32_t>(code), text);
    at = begin + digits;
    return absl::OkStatus();
  }

  const std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) {
  if (const auto offset = FirstInvalidUtf8(source)) {
    return absl::InvalidArgumentError(absl::StrCat("the template is not valid UTF-8 at byte ", *offset));
  }
  return Lexer(Normalize(source)).Run();
}

}  // namespace deeprack::coordinator::jinja
