#include "coordinator/tokenizer/regex_dialect.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/tokenizer/unicode_additions.h"
#include "coordinator/tokenizer/utf8.h"

namespace deeprack::coordinator {
namespace {

// Unicode's White_Space, as members of a class. PCRE2's own \s also has U+180E.
constexpr std::string_view kSpace =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x00-\x08\x0e-\x1f\x21-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{d7ff}\x{e000}-\x{10ffff})";

class Translator {
 public:
  explicit Translator(std::string_view regex) : regex_(regex) {}

  absl::StatusOr<std::string> Run() {
    if (FirstInvalidUtf8(regex_).has_value()) return absl::InvalidArgumentError("regex: not valid UTF-8");
    while (at_ < regex_.size()) DR_RETURN_IF_ERROR(Element());
    return std::move(out_);
  }

 private:
  absl::Status Element() {
    switch (regex_[at_]) {
      case '\\':
        return Escape(/*in_class=*/false);
      case '[':
        return Class();
      case '(':
        return Group();
      case '{':
        return Count();
      case '$':  // in Oniguruma's Ruby syntax the end of any line
        out_.append(R"((?=\n|\z))");
        ++at_;
        return absl::OkStatus();
      case '^':
      case '.':
        return Refuse(regex_.substr(at_, 1));
      default:
        Copy(1);
        return absl::OkStatus();
    }
  }

  absl::Status Class() {
    Copy(1);
    if (Next() == '^') Copy(1);
    if (Next() == ']') return Refuse("[]");
    while (at_ < regex_.size() && regex_[at_] != ']') {
      if (regex_[at_] == '\\') {
        DR_RETURN_IF_ERROR(Escape(/*in_class=*/true));
      } else if (regex_[at_] == '[') {
        return Refuse("[ inside a class");
      } else if (regex_.substr(at_).starts_with("&&")) {
        return Refuse("&& inside a class");
      } else {
        Copy(1);
      }
    }
    if (at_ == regex_.size()) return Refuse("a class without its ]");
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status Escape(bool in_class) {
    const char kind = at_ + 1 < regex_.size() ? regex_[at_ + 1] : '\0';
    switch (kind) {
      case 's':
      case 'S': {
        const bool negated = kind == 'S';
        out_.append(in_class ? "" : "[").append(negated ? kNotSpace : kSpace).append(in_class ? "" : "]");
        at_ += 2;
        return absl::OkStatus();
      }
      case 'p':
      case 'P':
        return Category(in_class, kind == 'P');
      case 'r':
      case 'n':
      case 't':
        Copy(2);
        return absl::OkStatus();
      default:
        if (!absl::ascii_ispunct(kind)) return Refuse(regex_.substr(at_, 2));
        Copy(2);
        return absl::OkStatus();
    }
  }

  // \p{X} with the members that PCRE2 may be too old to know.
  absl::Status Category(bool in_class, bool negated) {
    const std::string_view written = regex_.substr(at_, 5);
    const bool known = written.size() == 5 && written[2] == '{' && written[4] == '}' &&
                       !CategoryAdditions(written[3]).empty();
    if (!known || (in_class && negated)) {
      return Refuse(regex_.substr(at_, regex_.substr(at_).find('}') + 1));  // npos + 1 is 0: named below
    }
    out_.append(in_class ? "" : negated ? "[^" : "[").append(R"(\p{)").append(written.substr(3, 2));
    for (const CodePointRange& range : CategoryAdditions(written[3])) {
      absl::StrAppend(&out_, R"(\x{)", absl::Hex(range.first), R"(}-\x{)", absl::Hex(range.last), "}");
    }
    out_.append(in_class ? "" : "]");
    at_ += written.size();
    return absl::OkStatus();
  }

  absl::Status Group() {
    const std::string_view rest = regex_.substr(at_);
    for (std::string_view opening : {"(?:", "(?i:", "(?=", "(?!"}) {
      if (rest.starts_with(opening)) {
        Copy(opening.size());
        return absl::OkStatus();
      }
    }
    if (rest.starts_with("(?") || rest.starts_with("(*")) return Refuse(rest.substr(0, 3));
    Copy(1);
    return absl::OkStatus();
  }

  // {n}, {n,} or {n,m}. In Oniguruma's Ruby syntax a + after it repeats; in PCRE2 it makes it possessive.
  absl::Status Count() {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t start = end;
      while (end < regex_.size() && absl::ascii_isdigit(regex_[end])) ++end;
      return end > start;
    };
    bool well_formed = digits();
    if (well_formed && end < regex_.size() && regex_[end] == ',') {
      ++end;
      digits();
    }
    well_formed = well_formed && end < regex_.size() && regex_[end] == '}';
    if (!well_formed) return Refuse("{");
    ++end;
    if (end < regex_.size() && (regex_[end] == '+' || regex_[end] == '?')) {
      return Refuse(regex_.substr(at_, end + 1 - at_));
    }
    Copy(end - at_);
    return absl::OkStatus();
  }

  char Next() const { return at_ < regex_.size() ? regex_[at_] : '\0'; }

  void Copy(size_t count) {
    out_.append(regex_.substr(at_, count));
    at_ += count;
  }

  absl::Status Refuse(std::string_view what) const {
    if (what.empty()) what = regex_.substr(at_, 2);
    return absl::InvalidArgumentError(
        absl::StrCat("regex: \"", std::string(what), "\" at byte ", at_,
                     " is not supported, in: ", std::string(regex_.substr(0, 200))));
  }

  std::string_view regex_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

absl::StatusOr<std::string> ToPcre2(std::string_view regex) { return Translator(regex).Run(); }

}  // namespace deeprack::coordinator
