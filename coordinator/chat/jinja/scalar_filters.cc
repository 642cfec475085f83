#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/arguments.h"
#include "coordinator/chat/jinja/filters.h"
#include "coordinator/chat/jinja/methods.h"
#include "coordinator/chat/jinja/operators.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {
namespace {

absl::StatusOr<Value> Json(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(
      const auto arguments,
      BoundArguments::Bind("tojson", given, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style{.ensure_ascii = arguments.Truth(0, false), .sort_keys = arguments.Truth(3, false)};
  if (arguments.Has(1) && !arguments.Get(1).is_none()) {
    const Value& indent = arguments.Get(1);
    if (indent.is_string()) {
      style.indent = indent.text();
    } else {
      DR_ASSIGN_OR_RETURN(const int64_t spaces, arguments.Integer(1, 0));
      if (spaces > 1000) return absl::InvalidArgumentError("tojson(): indent is more than 1000");
      style.indent =
          Text(std::string(static_cast<size_t>(std::max<int64_t>(spaces, 0)), ' '), Origin::kTemplate);
    }
  }
  if (arguments.Has(2) && !arguments.Get(2).is_none()) {
    const Value& separators = arguments.Get(2);
    const bool fits = separators.is(Kind::kSequence) && separators.sequence().items.size() == 2 &&
                      separators.sequence().items[0].is_string() &&
                      separators.sequence().items[1].is_string();
    if (!fits) return absl::InvalidArgumentError("tojson(): separators must be two strings");
    style.item_separator = separators.sequence().items[0].text();
    style.key_separator = separators.sequence().items[1].text();
  }
  DR_ASSIGN_OR_RETURN(Text json, ToJson(value, style));
  return Value::String(std::move(json));
}

absl::StatusOr<Value> Trim(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("trim", given, {"chars"}));
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  std::optional<Text> chars;
  if (arguments.Has(0) && !arguments.Get(0).is_none()) {
    DR_ASSIGN_OR_RETURN(chars, arguments.String(0, ""));
  }
  const Stripped rest = Strip(text.bytes(), chars ? &chars->bytes() : nullptr, true, true);
  return Value::String(text.Slice(rest.begin, rest.end));
}

absl::StatusOr<Value> Default(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments,
                      BoundArguments::Bind("default", given, {"default_value", "boolean"}));
  const bool replaces = value.is_undefined() || (arguments.Truth(1, false) && !IsTrue(value));
  if (!replaces) return value;
  return arguments.Has(0) ? arguments.Get(0) : Value::Literal("");
}

template <Case kTo>
absl::StatusOr<Value> CaseFilter(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("upper, lower and capitalize", given, {}).status());
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  return Value::String(ChangeCase(text, kTo));
}

// Capitalizes the words between white space, dashes and opening brackets; unlike str.title, "it's" becomes
// "It's".
absl::StatusOr<Value> Title(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("title", given, {}).status());
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  const std::string& bytes = text.bytes();
  const auto separates = [&](size_t at) {
    const char32_t c = CharacterAt(bytes, at);
    return IsSpace(c) || c == U'-' || c == U'(' || c == U'{' || c == U'[' || c == U'<';
  };
  Text out;
  for (size_t begin = 0; begin < bytes.size();) {
    const bool is_separator = separates(begin);
    size_t end = begin;
    while (end < bytes.size() && separates(end) == is_separator) end += CharacterBytes(bytes, end);
    out.Append(ChangeCase(text.Slice(begin, end), Case::kCapitalize));
    begin = end;
  }
  return Value::String(std::move(out));
}

absl::StatusOr<Value> ReplaceFilter(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("replace", given, {"old", "new", "count"}));
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  DR_ASSIGN_OR_RETURN(const Value old_value, arguments.Required(0));
  DR_ASSIGN_OR_RETURN(const Value new_value, arguments.Required(1));
  DR_ASSIGN_OR_RETURN(const Text from, ToText(old_value));
  DR_ASSIGN_OR_RETURN(const Text to, ToText(new_value));
  DR_ASSIGN_OR_RETURN(const int64_t count, arguments.Integer(2, -1));
  DR_ASSIGN_OR_RETURN(Text replaced, Replace(text, from, to, count));
  return Value::String(std::move(replaced));
}

absl::StatusOr<Value> Indent(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments,
                      BoundArguments::Bind("indent", given, {"width", "first", "blank"}));
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  Text indentation;
  if (arguments.Has(0) && arguments.Get(0).is_string()) {
    indentation = arguments.Get(0).text();
  } else {
    DR_ASSIGN_OR_RETURN(const int64_t width, arguments.Integer(0, 4));
    if (width > 1000) return absl::InvalidArgumentError("indent(): width is more than 1000");
    indentation = Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), Origin::kTemplate);
  }
  const bool blank = arguments.Truth(2, false);
  Text ended = text;
  ended.Append("\n", Origin::kTemplate);  // as jinja2: a last empty line is a line
  Text out;
  bool first = true;
  for (const Text& line : SplitLines(ended)) {
    if (!first) out.Append("\n", Origin::kTemplate);
    if (first ? arguments.Truth(1, false) : blank || !line.empty()) out.Append(indentation);
    out.Append(line);
    first = false;
    if (out.size() > kMaxTextBytes) return TextTooLong();
  }
  return Value::String(std::move(out));
}

absl::StatusOr<Value> AsString(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("string", given, {}).status());
  DR_ASSIGN_OR_RETURN(Text text, ToText(value));
  return Value::String(std::move(text));
}

std::string_view Trimmed(const std::string& bytes) {
  const Stripped rest = Strip(bytes, nullptr, true, true);
  return std::string_view(bytes).substr(rest.begin, rest.end - rest.begin);
}

std::optional<double> ParseFloat(const std::string& bytes) {
  double number = 0;
  if (absl::SimpleAtod(View(Trimmed(bytes)), &number)) return number;
  return std::nullopt;
}

std::optional<int64_t> ParseInteger(const std::string& bytes, int base) {
  std::string_view digits = Trimmed(bytes);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  return number;
}

absl::StatusOr<Value> AsInteger(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("int", given, {"default", "base"}));
  DR_ASSIGN_OR_RETURN(const int64_t base, arguments.Integer(1, 10));
  if (base < 2 || base > 36) return absl::InvalidArgumentError("int(): base must be 2 to 36");
  if (value.is_integral()) return Value::Int(value.integer());
  std::optional<double> number;
  if (value.is_string()) {
    if (const auto integer = ParseInteger(value.bytes(), static_cast<int>(base))) return Value::Int(*integer);
    number = ParseFloat(value.bytes());
  } else if (value.is_number()) {
    number = value.number();
  } else if (value.is_undefined()) {
    return absl::InvalidArgumentError(value.why());
  }
  if (number && std::abs(*number) < 9e18) return Value::Int(static_cast<int64_t>(*number));
  return arguments.Has(0) ? arguments.Get(0) : Value::Int(0);
}

absl::StatusOr<Value> AsFloat(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("float", given, {"default"}));
  if (value.is_number()) return Value::Float(value.number());
  if (value.is_undefined()) return absl::InvalidArgumentError(value.why());
  if (value.is_string()) {
    if (const auto number = ParseFloat(value.bytes())) return Value::Float(*number);
  }
  return arguments.Has(0) ? arguments.Get(0) : Value::Float(0);
}

absl::StatusOr<Value> Abs(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("abs", given, {}).status());
  if (!value.is_number()) {
    return absl::InvalidArgumentError(absl::StrCat("bad operand type for abs(): '", TypeName(value), "'"));
  }
  if (value.is(Kind::kFloat)) return Value::Float(std::abs(value.number()));
  return value.integer() < 0 ? Negate(value) : absl::StatusOr<Value>(Value::Int(value.integer()));
}

// Rounds half to even at `digits` decimal places, from the exact value, as Python's round.
double RoundDecimal(double number, int64_t digits) {
  if (digits > 22 || !std::isfinite(number)) return number;
  if (digits < -22) return 0;
  if (digits < 0) {
    const double unit = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(number / unit) * unit;
  }
  char buffer[400];
  const int length = std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), number);
  double rounded = number;
  std::from_chars(buffer, buffer + length, rounded);
  return rounded;
}

absl::StatusOr<Value> Round(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("round", given, {"precision", "method"}));
  DR_ASSIGN_OR_RETURN(const int64_t digits, arguments.Integer(0, 0));
  DR_ASSIGN_OR_RETURN(const Text method, arguments.String(1, "common"));
  if (!value.is_number()) {
    return absl::InvalidArgumentError(absl::StrCat("round: a number is required, not ", TypeName(value)));
  }
  if (method.bytes() == "common") {
    if (value.is_integral() && digits >= 0) return Value::Int(value.integer());
    const double rounded = RoundDecimal(value.number(), digits);
    return value.is_integral() ? Value::Int(static_cast<int64_t>(rounded)) : Value::Float(rounded);
  }
  const double unit = std::pow(10.0, static_cast<double>(digits));
  if (method.bytes() == "ceil") return Value::Float(std::ceil(value.number() * unit) / unit);
  if (method.bytes() == "floor") return Value::Float(std::floor(value.number() * unit) / unit);
  return absl::InvalidArgumentError("method must be common, ceil or floor");
}

absl::StatusOr<Value> Safe(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("safe", given, {}).status());
  DR_ASSIGN_OR_RETURN(Text text, ToText(value));
  text.set_html(true);
  return Value::String(std::move(text));
}

absl::StatusOr<Value> Escape(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("escape", given, {}).status());
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  DR_ASSIGN_OR_RETURN(Text escaped, EscapeHtml(text));
  return Value::String(std::move(escaped));
}

absl::StatusOr<Value> FormatFilter(const Value& value, const Arguments& given, Budget&) {
  if (!given.named.empty()) return absl::InvalidArgumentError("format: arguments by name are not supported");
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  return PercentFormat(text, given.positional);
}

absl::StatusOr<Value> WordCount(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("wordcount", given, {}).status());
  DR_ASSIGN_OR_RETURN(const Text text, ToText(value));
  int64_t words = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.size(); at += CharacterBytes(text.bytes(), at)) {
    const bool is_space = IsSpace(CharacterAt(text.bytes(), at));
    words += !is_space && !in_word;
    in_word = !is_space;
  }
  return Value::Int(words);
}

struct ScalarFilter {
  std::string_view name;
  FilterCode code;
};

constexpr ScalarFilter kScalarFilters[] = {
    {"tojson", Json},
    {"trim", Trim},
    {"default", Default},
    {"d", Default},
    {"upper", CaseFilter<Case::kUpper>},
    {"lower", CaseFilter<Case::kLower>},
    {"capitalize", CaseFilter<Case::kCapitalize>},
    {"title", Title},
    {"replace", ReplaceFilter},
    {"indent", Indent},
    {"string", AsString},
    {"safe", Safe},
    {"int", AsInteger},
    {"float", AsFloat},
    {"abs", Abs},
    {"round", Round},
    {"escape", Escape},
    {"e", Escape},
    {"format", FormatFilter},
    {"wordcount", WordCount},
};

}  // namespace

FilterCode FindScalarFilter(std::string_view name) {
  for (const ScalarFilter& filter : kScalarFilters) {
    if (filter.name == name) return filter.code;
  }
  return nullptr;
}

}  // namespace deeprack::coordinator::jinja
