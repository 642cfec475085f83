#include "constraint/regex_check.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "constraint/limits.h"

namespace deeprack::constraint {
namespace {

// What a JSON string must escape, as the inside of a class.
constexpr std::string_view kJsonEscaped = R"("\\\x00-\x1f)";

// Matches nothing. xgrammar 0.2.9 makes an automaton of a JSON string's pattern if all characters are
// printable ASCII. Its automata of "(?:xa+)?" and "(?:[ab](?:[ab]|)|[ab])" match "a" and "aaa". Other
// patterns become rules of the grammar, as expressions that are the whole answer do.
constexpr std::string_view kNoAutomaton = "\x7f{0}";

// Of a part of the expression.
struct Size {
  int64_t weight = 0;  // with repetitions written out
  bool may_be_empty = false;
  bool open_begin = false, open_end = false;  // the part may begin, or end, with a repetition without bound
};
constexpr Size kCharacter{.weight = 1}, kDigit{.weight = kDigitWeight}, kClass{.weight = kClassWeight},
    kWide{.weight = kWideWeight};

// Reads the expression once, from left to right; writes the translated expression.
class RegexReader {
 public:
  RegexReader(std::string_view pattern, RegexPlace place)
      : text_(pattern), json_(place == RegexPlace::kJsonString) {}

  absl::StatusOr<CheckedRegex> Read() {
    if (std::ssize(text_) > kMostRegexBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("the expression has ", text_.size(), " bytes; the most is ", kMostRegexBytes));
    }
    if (Peek() == '^') ++at_;
    DR_ASSIGN_OR_RETURN(const Size size, Alternatives());
    if (at_ < text_.size()) return Fault("\")\" closes no group");
    if (json_) out_ += kNoAutomaton;
    return CheckedRegex{.pattern = std::move(out_), .weight = size.weight};
  }

 private:
  using SizeOr = absl::StatusOr<Size>;

  absl::Status Fault(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("at byte ", at_, ": ", std::string(what)));
  }
  absl::Status Unsupported(std::string_view what) const {
    return Fault(absl::StrCat(std::string(what), " is not supported"));
  }

  absl::Status TooLarge(int64_t most) const {
    return Fault(absl::StrCat("the expression is too large with its repetitions written out: the most is ",
                              most, " characters, of which a digit's class counts ", kDigitWeight,
                              ", another class ", kClassWeight, ", and \".\" and a negated class ",
                              kWideWeight));
  }

  // For a message: bytes that are no readable characters as "\xc3".
  static std::string Shown(char c) {
    return absl::ascii_isprint(static_cast<unsigned char>(c))
               ? std::string(1, c)
               : absl::StrFormat("\\x%02x", static_cast<uint8_t>(c));
  }

  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool AtEnd() const { return at_ >= text_.size(); }

  SizeOr Alternatives() {
    if (++depth_ > kMostDepth) return Fault(absl::StrCat("groups stand more than ", kMostDepth, " deep"));
    Size size;
    for (;;) {
      DR_ASSIGN_OR_RETURN(const Size branch, Branch());
      size = {.weight = size.weight + branch.weight,
              .may_be_empty = size.may_be_empty || branch.may_be_empty,
              .open_begin = size.open_begin || branch.open_begin,
              .open_end = size.open_end || branch.open_end};
      if (size.weight > kMostTotalWeight) return TooLarge(kMostTotalWeight);
      if (Peek() != '|') break;
      out_ += '|';
      ++at_;
    }
    --depth_;
    return size;
  }

  SizeOr Branch() {
    Size size{.may_be_empty = true};
    bool empty = true;
    int64_t empty_parts = 0;
    while (!AtEnd() && Peek() != '|' && Peek() != ')') {
      if (Peek() == '$' && at_ + 1 == text_.size()) {
        ++at_;
        break;
      }
      DR_ASSIGN_OR_RETURN(Size part, Part());
      DR_ASSIGN_OR_RETURN(part, Repeated(part));
      size = {.weight = size.weight + part.weight,
              .may_be_empty = size.may_be_empty && part.may_be_empty,
              .open_begin = size.open_begin || (size.may_be_empty && part.open_begin),
              .open_end = part.open_end || (part.may_be_empty && size.open_end)};
      empty_parts = part.may_be_empty ? empty_parts + 1 : 0;
      if (empty_parts > kMostEmptyParts) {
        return Fault(
            absl::StrCat("more than ", kMostEmptyParts, " parts that may be empty follow each other"));
      }
      empty = false;
      if (size.weight > kMostWeight) return TooLarge(kMostWeight);
    }
    if (empty) out_ += "(?:)";
    return size;
  }

  SizeOr Part() {
    const char c = Peek();
    switch (c) {
      case '(':
        return Group();
      case '[':
        return Class();
      case '\\':
        return Escape();
      case '.':
        ++at_;
        absl::StrAppend(&out_,
                        json_ ? absl::StrCat("[^", std::string(kJsonEscaped), "]") : std::string(R"([^\n])"));
        return kWide;
      case '^':
      case '$':
        return Unsupported(absl::StrCat("\"", std::string(1, c), "\" inside the expression"));
      case '*':
      case '+':
      case '?':
      case '{':
        return Fault(absl::StrCat("\"", std::string(1, c), "\" repeats nothing"));
      default:
        return Literal();
    }
  }

  SizeOr Literal() {
    const char c = Peek();
    if (json_ && (c == '"' || static_cast<uint8_t>(c) < 0x20)) {
      return Unsupported("a character that JSON escapes, inside a string's pattern,");
    }
    if (static_cast<uint8_t>(c) < 0x20) {
      out_ += Written(static_cast<uint8_t>(c));
    } else {
      out_ += c;
    }
    ++at_;
    return kCharacter;
  }

  SizeOr Group() {
    ++at_;
    if (Peek() == '?') {
      ++at_;
      if (Peek() == ':') {
        ++at_;
      } else if (Peek() == 'P' && Peek(1) == '<') {
        at_ += 2;
        DR_RETURN_IF_ERROR(SkipName());
      } else if (Peek() == '<' && Peek(1) != '=' && Peek(1) != '!') {
        ++at_;
        DR_RETURN_IF_ERROR(SkipName());
      } else if (Peek() == '=' || Peek() == '!' || Peek() == '<') {
        return Unsupported("looking ahead or behind");
      } else {
        return Unsupported(absl::StrCat("\"(?", Shown(Peek()), "\""));
      }
    }
    out_ += "(?:";
    DR_ASSIGN_OR_RETURN(const Size size, Alternatives());
    if (Peek() != ')') return Fault("a group is not closed");
    ++at_;
    out_ += ')';
    return size;
  }

  absl::Status SkipName() {
    const size_t begin = at_;
    while (absl::ascii_isalnum(static_cast<unsigned char>(Peek())) || Peek() == '_') ++at_;
    if (at_ == begin || Peek() != '>') return Fault("a group's name is not closed with \">\"");
    ++at_;
    return absl::OkStatus();
  }

  SizeOr Class() {
    ++at_;
    const bool negated = Peek() == '^';
    if (negated) ++at_;
    if (Peek() == ']') return Fault("an empty class");
    class_.clear();
    class_weight_ = kDigitWeight;
    class_has_caret_ = false;
    while (Peek() != ']') {
      if (AtEnd()) return Fault("a class is not closed");
      if (Peek() == '\\') {
        DR_RETURN_IF_ERROR(ClassEscape(negated));
        continue;
      }
      if (Peek() == '[' && Peek(1) == ':') return Unsupported("a named class");
      const auto c = static_cast<uint8_t>(Peek());
      if (c == '-' && (class_.empty() || Peek(1) == ']')) {
        class_ += "\\-";
      } else if (c >= 0x80 || c == '-') {
        if (c >= 0x80) class_weight_ = kWideWeight;
        class_ += text_[at_];
      } else {
        DR_RETURN_IF_ERROR(AddToClass(c, negated));
      }
      ++at_;
    }
    ++at_;
    if (json_ && negated) class_ += kJsonEscaped;
    // The compiler takes a "^" at a class's beginning for a negation, escaped or not.
    if (class_has_caret_ && class_.empty() && !negated) {
      out_ += Written('^');
      return kCharacter;
    }
    if (class_has_caret_) class_ += Written('^');
    absl::StrAppend(&out_, negated ? "[^" : "[", class_, "]");
    return negated ? kWide : Size{.weight = class_weight_};
  }

  absl::Status AddToClass(uint32_t code, bool negated) {
    if (json_ && !negated && MustEscape(code)) {
      return Unsupported("a character that JSON escapes, inside a string's pattern,");
    }
    const bool digit = code < 0x80 && absl::ascii_isdigit(static_cast<unsigned char>(code));
    if (!digit) class_weight_ = std::max(class_weight_, code < 0x80 ? kClassWeight : kWideWeight);
    if (code == '^') {
      if (!class_.empty() && class_.back() == '-' && !class_.ends_with("\\-"))
        return Unsupported("\"^\" at a range's end");
      class_has_caret_ = true;
    } else {
      class_ += Written(code);
    }
    return absl::OkStatus();
  }

  absl::Status ClassEscape(bool negated) {
    const char c = Peek(1);
    if (c == 'd' || c == 'w' || c == 's') {
      if (c == 'w') class_weight_ = std::max(class_weight_, kClassWeight);
      class_ += json_ && c == 's' && !negated ? std::string(" ") : absl::StrCat("\\", std::string(1, c));
      at_ += 2;
      return absl::OkStatus();
    }
    if (c == 'D' || c == 'W' || c == 'S')
      return Unsupported(absl::StrCat("\"\\", std::string(1, c), "\" in a class"));
    DR_ASSIGN_OR_RETURN(const uint32_t code, Code());
    return AddToClass(code, negated);
  }

  SizeOr Escape() {
    const char c = Peek(1);
    const std::string rest(json_ ? kJsonEscaped : "");
    switch (c) {
      case 'd':
      case 'w':
        absl::StrAppend(&out_, "\\", std::string(1, c));
        break;
      case 's':
        absl::StrAppend(&out_, json_ ? " " : "\\s");
        break;
      case 'D':
        absl::StrAppend(&out_, "[^0-9", rest, "]");
        break;
      case 'W':
        absl::StrAppend(&out_, "[^a-zA-Z0-9_", rest, "]");
        break;
      case 'S':
        absl::StrAppend(&out_, R"([^ \t\n\r\f\v)", rest, "]");
        break;
      case 'b':
      case 'B':
        return Unsupported("a word boundary");
      case 'A':
      case 'Z':
      case 'z':
        return Unsupported("an anchor inside the expression");
      case 'p':
      case 'P':
        return Unsupported("a class of Unicode");
      default: {
        if (c == 'k' || (c >= '1' && c <= '9')) return Unsupported("a back reference");
        DR_ASSIGN_OR_RETURN(const uint32_t code, Code());
        if (json_ && MustEscape(code)) {
          return Unsupported("a character that JSON escapes, inside a string's pattern,");
        }
        out_ += Written(code);
        return kCharacter;
      }
    }
    at_ += 2;
    return c == 'd' ? kDigit : c == 'w' || c == 's' ? kClass : kWide;
  }

  static bool MustEscape(uint32_t code) { return code < 0x20 || code == '"' || code == '\\'; }

  // The character of an escape sequence.
  absl::StatusOr<uint32_t> Code() {
    const char c = Peek(1);
    constexpr std::string_view kNames = "nrtfv0", kCodes{"\n\r\t\f\v\0", 6};
    if (const size_t i = kNames.find(c); i != std::string_view::npos && c != '\0') {
      at_ += 2;
      return static_cast<uint8_t>(kCodes[i]);
    }
    if (c == 'x' || c == 'u') {
      const size_t digits = c == 'x' ? 2 : 4;
      uint32_t code = 0;
      for (size_t i = 0; i < digits; ++i) {
        const char digit = Peek(2 + i);
        if (!absl::ascii_isxdigit(static_cast<unsigned char>(digit)))
          return Fault("an escape sequence is cut short");
        code = code * 16 +
               static_cast<uint32_t>(absl::ascii_isdigit(static_cast<unsigned char>(digit))
                                         ? digit - '0'
                                         : absl::ascii_tolower(static_cast<unsigned char>(digit)) - 'a' + 10);
      }
      if (code >= 0xd800 && code < 0xe000) return Unsupported("half of a surrogate pair");
      at_ += 2 + digits;
      return code;
    }
    if (!absl::ascii_ispunct(static_cast<unsigned char>(c)) && c != ' ') {
      return Unsupported(c == '\0' ? "a backslash at the end" : absl::StrCat("\"\\", Shown(c), "\""));
    }
    at_ += 2;
    return static_cast<uint8_t>(c);
  }

  static std::string Written(uint32_t code) {
    if (code < 0x80 && absl::ascii_isalnum(static_cast<unsigned char>(code))) {
      return std::string(1, static_cast<char>(code));
    }
    if (code == '-' || code == ']') return absl::StrCat("\\", std::string(1, static_cast<char>(code)));
    return absl::StrFormat("\\u%04x", code);  // after "\\x" the compiler reads any number of digits
  }

  // `part` with the repetition that follows the part.
  SizeOr Repeated(Size part) {
    const char c = Peek();
    Size size = part;
    bool unbounded = c == '*' || c == '+';
    if (c == '*' || c == '+' || c == '?') {
      out_ += c;
      ++at_;
      size.may_be_empty = part.may_be_empty || c != '+';
    } else if (c == '{') {
      DR_ASSIGN_OR_RETURN(const Counts counts, ReadCounts());
      if (part.may_be_empty && counts.most > kMostEmptyRepeats) {
        return Fault(
            absl::StrCat("a part that may be empty is repeated more than ", kMostEmptyRepeats, " times"));
      }
      size.may_be_empty = part.may_be_empty || counts.least == 0;
      unbounded = counts.unbounded;
      size.weight = std::max<int64_t>(part.weight, 1) * std::max<int64_t>(counts.most, 1);  // below 2^44
    } else {
      return size;
    }
    if (unbounded && part.open_begin && part.open_end) {
      return Fault("a repetition without bound of a part that begins and ends with such a repetition");
    }
    if (unbounded) size.open_begin = size.open_end = true;
    if (Peek() == '?') ++at_;  // greed changes only which match is found
    if (Peek() == '+' || Peek() == '*' || Peek() == '?' || Peek() == '{') {
      return Unsupported("a repetition of a repetition");
    }
    return size;
  }

  struct Counts {
    int64_t least = 0, most = 0;
    bool unbounded = false;  // "{n,}"
  };

  // Reads "{n}", "{n,}" or "{n,m}".
  absl::StatusOr<Counts> ReadCounts() {
    const size_t begin = at_++;
    const std::optional<int64_t> least = Number();
    if (!least) return Fault("\"{\" begins no repetition: \"{n}\", \"{n,}\" or \"{n,m}\"");
    int64_t most = *least;
    bool unbounded = false;
    if (Peek() == ',') {
      ++at_;
      unbounded = Peek() == '}';
      if (Peek() != '}') {
        const std::optional<int64_t> upper = Number();
        if (!upper) return Fault("\"{\" begins no repetition: \"{n}\", \"{n,}\" or \"{n,m}\"");
        if (*upper < *least) return Fault("a repetition's upper number is below its lower number");
        most = *upper;
      }
    }
    if (Peek() != '}') return Fault("a repetition is not closed");
    ++at_;
    out_ += text_.substr(begin, at_ - begin);
    return Counts{.least = *least, .most = most, .unbounded = unbounded};
  }

  std::optional<int64_t> Number() {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(Peek()))) return std::nullopt;
    int64_t number = 0;
    while (absl::ascii_isdigit(static_cast<unsigned char>(Peek()))) {
      number = std::min<int64_t>(number * 10 + (text_[at_++] - '0'), int64_t{1} << 31);
    }
    return number;
  }

  const std::string_view text_;
  const bool json_;
  size_t at_ = 0;
  int32_t depth_ = 0;
  std::string out_;
  std::string class_;  // the inside of the class that is being read
  bool class_has_caret_ = false;
  int64_t class_weight_ = 0;
};

}  // namespace

absl::StatusOr<CheckedRegex> CheckRegex(std::string_view pattern, RegexPlace place) {
  return RegexReader(pattern, place).Read();
}

}  // namespace deeprack::constraint
