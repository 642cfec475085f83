#include "coordinator/chat/jinja/operators.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/methods.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {
namespace {

absl::Status WrongTypes(std::string_view sign, const Value& a, const Value& b) {
  if (a.is_undefined()) return absl::InvalidArgumentError(a.why());
  if (b.is_undefined()) return absl::InvalidArgumentError(b.why());
  return absl::InvalidArgumentError(absl::StrCat("unsupported operand types for ", View(sign), ": '",
                                                 TypeName(a), "' and '", TypeName(b), "'"));
}

absl::Status TooLarge() { return absl::InvalidArgumentError("an integer exceeds 64 bits"); }
absl::Status DivisionByZero() { return absl::InvalidArgumentError("division by zero"); }

absl::StatusOr<Value> IntegerPower(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return DivisionByZero();
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t power = 1;
  if (base == 0 || base == 1 || base == -1)
    return Value::Int(exponent % 2 == 0 ? (exponent == 0 ? 1 : base * base) : base);
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(power, base, &power)) return TooLarge();
  }
  return Value::Int(power);
}

absl::StatusOr<Value> IntegerArithmetic(std::string_view sign, int64_t a, int64_t b) {
  int64_t result = 0;
  if (sign == "+")
    return __builtin_add_overflow(a, b, &result) ? TooLarge() : absl::StatusOr<Value>(Value::Int(result));
  if (sign == "-")
    return __builtin_sub_overflow(a, b, &result) ? TooLarge() : absl::StatusOr<Value>(Value::Int(result));
  if (sign == "*")
    return __builtin_mul_overflow(a, b, &result) ? TooLarge() : absl::StatusOr<Value>(Value::Int(result));
  if (sign == "**") return IntegerPower(a, b);
  if (b == 0) return DivisionByZero();
  if (sign == "/") return Value::Float(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) return sign == "%" ? absl::StatusOr<Value>(Value::Int(0)) : IntegerArithmetic("-", 0, a);
  const int64_t remainder = a % b;
  const bool rounds_down = remainder != 0 && (remainder < 0) != (b < 0);
  if (sign == "%") return Value::Int(rounds_down ? remainder + b : remainder);
  return Value::Int(a / b - (rounds_down ? 1 : 0));  // floor division
}

absl::StatusOr<Value> FloatArithmetic(std::string_view sign, double a, double b) {
  if (sign == "+") return Value::Float(a + b);
  if (sign == "-") return Value::Float(a - b);
  if (sign == "*") return Value::Float(a * b);
  if (sign == "**") {
    const double power = std::pow(a, b);
    if (std::isnan(power) || std::isinf(power))
      return absl::InvalidArgumentError("a power is not a finite number");
    return Value::Float(power);
  }
  if (b == 0) return DivisionByZero();
  if (sign == "/") return Value::Float(a / b);
  if (sign == "//") return Value::Float(std::floor(a / b));
  const double remainder = std::fmod(a, b);
  return Value::Float(remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder);
}

bool IsListOrTuple(const Value& value) {
  return value.is(Kind::kSequence) &&
         (value.sequence().kind == SequenceKind::kList || value.sequence().kind == SequenceKind::kTuple);
}

Value SameKind(const Value& like, std::vector<Value> items) {
  return like.sequence().kind == SequenceKind::kTuple ? Value::Tuple(std::move(items))
                                                      : Value::List(std::move(items));
}

absl::StatusOr<Value> Repeat(const Value& value, int64_t count) {
  const size_t times = count > 0 ? static_cast<size_t>(count) : 0;
  if (value.is_string()) {
    const Text& text = value.text();
    if (!text.empty() && times > kMaxTextBytes / text.size()) return TextTooLong();
    Text repeated, chunk = text;  // `chunk` is the text 1, 2, 4, ... times
    for (size_t left = times; left > 0 && !text.empty(); left /= 2) {
      if (left % 2 == 1) repeated.Append(chunk);
      if (left > 1) chunk.Append(Text(chunk));
    }
    return Value::String(std::move(repeated));
  }
  const std::vector<Value>& items = value.sequence().items;
  if (!items.empty() && times > kMaxItems / items.size()) return TooManyItems();
  std::vector<Value> repeated;
  for (size_t i = 0; i < times && !items.empty(); ++i)
    repeated.insert(repeated.end(), items.begin(), items.end());
  return SameKind(value, std::move(repeated));
}

absl::StatusOr<Value> Join(const Value& a, const Value& b) {
  if (a.is_string()) {
    if (a.text().size() + b.text().size() > kMaxTextBytes) return TextTooLong();
    if (a.text().is_html() != b.text().is_html()) {
      DR_ASSIGN_OR_RETURN(Text left, EscapeHtml(a.text()));
      DR_ASSIGN_OR_RETURN(Text right, EscapeHtml(b.text()));
      return Join(Value::String(std::move(left)), Value::String(std::move(right)));
    }
    Text joined = a.text();
    joined.Append(b.text());
    return Value::String(std::move(joined));
  }
  std::vector<Value> items = a.sequence().items;
  items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
  if (items.size() > kMaxItems) return TooManyItems();
  return SameKind(a, std::move(items));
}

// `index` of a sequence of `size`, counted from the end if negative.
std::optional<size_t> IndexOf(const Value& index, size_t size) {
  int64_t at = index.integer();
  if (at < 0) at += static_cast<int64_t>(size);
  if (at < 0 || at >= static_cast<int64_t>(size)) return std::nullopt;
  return static_cast<size_t>(at);
}

std::string ObjectName(const Value& value) {
  if (value.is_none()) return "'None'";
  return absl::StrCat("'", TypeName(value), " object'");
}

Value NoAttribute(const Value& value, std::string_view name) {
  return Value::Undefined(absl::StrCat(ObjectName(value), " has no attribute '", View(name), "'"));
}

// The item under `key`; nullopt: none.
absl::StatusOr<std::optional<Value>> FindItem(const Value& value, const Value& key) {
  if (value.is(Kind::kDict)) {
    const Value* found = IsHashable(key) ? value.dict().Find(key) : nullptr;
    if (found != nullptr) return *found;
  } else if (value.is(Kind::kSequence) && key.is_integral() && IsListOrTuple(value)) {
    const std::optional<size_t> index = IndexOf(key, value.sequence().items.size());
    if (index) return value.sequence().items[*index];
  } else if (value.is_string() && key.is_integral()) {
    const std::string& bytes = value.bytes();
    const std::optional<size_t> index = IndexOf(key, CharacterCount(bytes));
    if (index) {
      const size_t begin = ByteOffset(bytes, *index);
      return Value::String(value.text().Slice(begin, begin + CharacterBytes(bytes, begin)));
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Value>> FindAttribute(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::kNamespace: {
      const Value* found = value.name_space().attributes.Find(name);
      return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
    }
    case Kind::kLoop:
      return LoopAttribute(value, name);
    default:
      return Method(value, name);
  }
}

absl::StatusOr<int64_t> SliceBound(const Value& bound, int64_t missing, int64_t low, int64_t high,
                                   int64_t size) {
  if (bound.is_none() || bound.is_undefined()) return missing;
  if (!bound.is_integral()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the bounds of a slice must be integers or none, not ", TypeName(bound)));
  }
  int64_t at = bound.integer();
  if (at < 0) at += size;
  return std::clamp(at, low, high);
}

}  // namespace

absl::StatusOr<Value> Arithmetic(std::string_view sign, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return IntegerArithmetic(sign, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return FloatArithmetic(sign, a.number(), b.number());
  if (sign == "+" && ((a.is_string() && b.is_string()) ||
                      (IsListOrTuple(a) && IsListOrTuple(b) && a.sequence().kind == b.sequence().kind))) {
    return Join(a, b);
  }
  if (sign == "*" && b.is_integral() && (a.is_string() || IsListOrTuple(a))) return Repeat(a, b.integer());
  if (sign == "*" && a.is_integral() && (b.is_string() || IsListOrTuple(b))) return Repeat(b, a.integer());
  if (sign == "%" && a.is_string()) {
    const bool is_tuple = b.is(Kind::kSequence) && b.sequence().kind == SequenceKind::kTuple;
    return PercentFormat(a.text(), is_tuple ? b.sequence().items : std::vector<Value>{b});
  }
  return WrongTypes(sign, a, b);
}

absl::StatusOr<Value> Negate(const Value& value) {
  if (value.is_integral()) return IntegerArithmetic("-", 0, value.integer());
  if (value.is_number()) return Value::Float(-value.number());
  if (value.is_undefined()) return absl::InvalidArgumentError(value.why());
  return absl::InvalidArgumentError(absl::StrCat("bad operand type for unary -: '", TypeName(value), "'"));
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString:
      if (!item.is_string()) {
        if (item.is_undefined()) return absl::InvalidArgumentError(item.why());
        return absl::InvalidArgumentError(
            absl::StrCat("'in <string>' requires string as left operand, not ", TypeName(item)));
      }
      return container.bytes().find(item.bytes()) != std::string::npos;
    case Kind::kDict:
      if (!IsHashable(item))
        return absl::InvalidArgumentError(absl::StrCat("unhashable type: '", TypeName(item), "'"));
      return container.dict().Find(item) != nullptr;
    case Kind::kSequence:
      for (const Value& candidate : container.sequence().items) {
        if (Equal(candidate, item)) return true;
      }
      return false;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("argument of type '", TypeName(container), "' is not iterable"));
  }
}

absl::StatusOr<bool> Compare(std::string_view sign, const Value& a, const Value& b) {
  if (sign == "==") return Equal(a, b);
  if (sign == "!=") return !Equal(a, b);
  if (sign == "in") return Contains(b, a);
  if (sign == "not in") {
    DR_ASSIGN_OR_RETURN(const bool contains, Contains(b, a));
    return !contains;
  }
  if (sign == "<") return Less(a, b);
  if (sign == ">") return Less(b, a);
  DR_ASSIGN_OR_RETURN(const bool less, sign == "<=" ? Less(a, b) : Less(b, a));
  return less || Equal(a, b);
}

absl::StatusOr<Value> GetAttribute(const Value& value, std::string_view name) {
  if (value.is_undefined()) return absl::InvalidArgumentError(value.why());
  DR_ASSIGN_OR_RETURN(std::optional<Value> found, FindAttribute(value, name));
  if (found) return *std::move(found);
  if (value.is(Kind::kDict)) {
    if (const Value* item = value.dict().Find(name)) return *item;
  }
  return NoAttribute(value, name);
}

absl::StatusOr<Value> GetItem(const Value& value, const Value& key) {
  if (value.is_undefined()) return absl::InvalidArgumentError(value.why());
  DR_ASSIGN_OR_RETURN(std::optional<Value> found, FindItem(value, key));
  if (found) return *std::move(found);
  if (key.is_string()) {
    DR_ASSIGN_OR_RETURN(found, FindAttribute(value, key.bytes()));
    if (found) return *std::move(found);
    return NoAttribute(value, key.bytes());
  }
  DR_ASSIGN_OR_RETURN(const Text shown, ToText(key));
  return Value::Undefined(absl::StrCat(ObjectName(value), " has no element ", shown.bytes().substr(0, 100)));
}

absl::StatusOr<Value> GetSlice(const Value& value, const Value& begin, const Value& end, const Value& step) {
  if (value.is_undefined()) return absl::InvalidArgumentError(value.why());
  if (!value.is_string() && !IsListOrTuple(value)) {
    return Value::Undefined(absl::StrCat(ObjectName(value), " has no slices"));
  }
  int64_t stride = 1;
  if (!step.is_none() && !step.is_undefined()) {
    if (!step.is_integral() || step.integer() == 0) {
      return absl::InvalidArgumentError("the step of a slice must be an integer other than zero");
    }
    stride = step.integer();
  }
  const auto size =
      static_cast<int64_t>(value.is_string() ? CharacterCount(value.bytes()) : value.sequence().items.size());
  const bool forward = stride > 0;
  const int64_t low = forward ? 0 : -1, high = forward ? size : size - 1;
  DR_ASSIGN_OR_RETURN(const int64_t first, SliceBound(begin, forward ? low : high, low, high, size));
  DR_ASSIGN_OR_RETURN(const int64_t last, SliceBound(end, forward ? high : low, low, high, size));
  if (value.is_string() && stride == 1) {
    if (first >= last) return Value::Literal("");
    const std::string& bytes = value.bytes();
    const size_t from = ByteOffset(bytes, static_cast<size_t>(first));
    const size_t length = ByteOffset(std::string_view(bytes).substr(from), static_cast<size_t>(last - first));
    return Value::String(value.text().Slice(from, from + length));
  }
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  std::vector<Value> taken;
  // The loop ends before at + stride can overflow.
  for (int64_t at = first; forward ? at < last : at > last;) {
    taken.push_back(items[static_cast<size_t>(at)]);
    if (forward ? stride >= last - at : stride <= last - at) break;
    at += stride;
  }
  if (!value.is_string()) return SameKind(value, std::move(taken));
  Text text;
  for (const Value& character : taken) text.Append(character.text());
  return Value::String(std::move(text));
}

absl::StatusOr<int64_t> Length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(CharacterCount(value.bytes()));
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries().size());
    case Kind::kSequence:
      if (value.sequence().kind != SequenceKind::kGenerator) {
        return static_cast<int64_t>(value.sequence().items.size());
      }
      [[fallthrough]];
    default:
      return absl::InvalidArgumentError(absl::StrCat("object of type '", TypeName(value), "' has no len()"));
  }
}

}  // namespace deeprack::coordinator::jinja
