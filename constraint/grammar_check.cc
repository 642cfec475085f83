#include "constraint/grammar_check.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "constraint/limits.h"

namespace deeprack::constraint {
namespace {

constexpr int64_t kMostRules = 4096;
// The compiler's words for tokens of the model.
constexpr std::string_view kMacros[] = {"Token", "ExcludeToken", "TagDispatch", "TokenTagDispatch"};

// Reads the grammar once, from left to right. What is no grammar is left to the compiler, which names the
// place.
class GrammarReader {
 public:
  explicit GrammarReader(std::string_view grammar) : text_(grammar) {}

  absl::Status Read() {
    groups_.push_back({});
    while (at_ < text_.size()) DR_RETURN_IF_ERROR(Next());
    return absl::OkStatus();
  }

 private:
  struct Group {
    int64_t weight = 0;
    int64_t last = 0;  // of the part that a repetition would repeat
  };

  absl::Status Fault(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("the grammar, at byte ", at_, ": ", std::string(what)));
  }

  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  static bool IsNamePart(char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  }

  absl::Status Next() {
    const char c = Peek();
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      ++at_;
      return absl::OkStatus();
    }
    switch (c) {
      case '#':
        while (at_ < text_.size() && Peek() != '\n') ++at_;
        return absl::OkStatus();
      case '"':
      case '\'':
        return Quoted(c);
      case '[':
        return Class();
      case '(':
        return Open();
      case ')':
        return Close();
      case '{':
        return Repeat();
      case ':':
        if (Peek(1) == ':' && Peek(2) == '=') return Rule();
        break;
      default:
        break;
    }
    if (IsNamePart(c)) return Name();
    ++at_;  // | * + ? = and what is no grammar
    return absl::OkStatus();
  }

  absl::Status Add(int64_t weight) {
    Group& group = groups_.back();
    group.last = weight;
    group.weight += weight;
    if (group.weight > kMostTotalWeight || rules_weight_ + groups_.front().weight > kMostTotalWeight) {
      return Fault(absl::StrCat("the rules are too large with their repetitions written out: the most is ",
                                kMostTotalWeight, " characters, of which a class and a rule's name count ",
                                kClassWeight, " and a negated class ", kWideWeight));
    }
    return absl::OkStatus();
  }
  absl::Status TooLarge() const {
    return Fault(absl::StrCat("the rule is too large with its repetitions written out: the most is ",
                              kMostWeight, " characters, of which a class counts ", kClassWeight,
                              " and a negated class ", kWideWeight));
  }

  absl::Status Quoted(char quote) {
    const size_t begin = at_++;
    while (at_ < text_.size() && Peek() != quote) at_ += Peek() == '\\' ? 2 : 1;
    if (at_ >= text_.size()) {
      at_ = begin;
      return Fault("a text is not closed");
    }
    ++at_;
    return Add(static_cast<int64_t>(at_ - begin));
  }

  absl::Status Class() {
    const size_t begin = at_++;
    const bool negated = Peek() == '^';
    if (negated) ++at_;
    while (at_ < text_.size() && Peek() != ']') at_ += Peek() == '\\' ? 2 : 1;
    if (at_ >= text_.size()) {
      at_ = begin;
      return Fault("a class is not closed");
    }
    ++at_;
    return Add(negated ? kWideWeight : kClassWeight);
  }

  absl::Status Open() {
    if (std::ssize(groups_) > kMostDepth)
      return Fault(absl::StrCat("groups stand more than ", kMostDepth, " deep"));
    if (Peek(1) == '=') return Fault("looking ahead is not supported");
    ++at_;
    groups_.push_back({});
    return absl::OkStatus();
  }

  absl::Status Close() {
    if (groups_.size() == 1) return Fault("\")\" closes no group");
    ++at_;
    const int64_t weight = std::max<int64_t>(1, groups_.back().weight);
    groups_.pop_back();
    return Add(weight);
  }

  // "{n}", "{n,}" or "{n,m}".
  absl::Status Repeat() {
    ++at_;
    int64_t most = 0, number = 0;
    while (at_ < text_.size() && Peek() != '}') {
      if (absl::ascii_isdigit(static_cast<unsigned char>(Peek()))) {
        number = std::min<int64_t>(number * 10 + (Peek() - '0'), int64_t{1} << 31);
        most = std::max(most, number);
      } else {
        number = 0;
      }
      ++at_;
    }
    ++at_;
    Group& group = groups_.back();
    const int64_t repeated = group.last * std::max<int64_t>(most, 1);  // below 2^48
    if (most > 1 && repeated > kMostWeight) return TooLarge();
    group.weight += repeated - group.last;
    group.last = repeated;
    return absl::OkStatus();
  }

  absl::Status Rule() {
    at_ += 3;
    rules_weight_ += groups_.front().weight;
    groups_.assign(1, {});
    if (++rules_ > kMostRules) return Fault(absl::StrCat("more than ", kMostRules, " rules"));
    return absl::OkStatus();
  }

  absl::Status Name() {
    const size_t begin = at_;
    while (IsNamePart(Peek())) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (Peek() == '(' && std::find(std::begin(kMacros), std::end(kMacros), name) != std::end(kMacros)) {
      return Fault(absl::StrCat("\"", std::string(name), "(\" is not supported"));
    }
    return Add(kClassWeight);
  }

  const std::string_view text_;
  size_t at_ = 0;
  int64_t rules_ = 0, rules_weight_ = 0;  // the weight of the rules before this one
  std::vector<Group> groups_;             // the rule, and the groups that are open
};

}  // namespace

absl::Status CheckGrammar(std::string_view grammar) {
  if (std::ssize(grammar) > kMostTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the grammar has ", grammar.size(), " bytes; the most is ", kMostTextBytes));
  }
  return GrammarReader(grammar).Read();
}

}  // namespace deeprack::constraint
