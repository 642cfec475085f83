#include "coordinator/chat/jinja/methods.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/arguments.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {
namespace {

constexpr std::string_view kChangesList[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kChangesDict[] = {"clear", "pop", "popitem", "setdefault", "update"};

template <size_t kCount>
bool IsOneOf(std::string_view name, const std::string_view (&names)[kCount]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Value Unsafe(const Value& value, std::string_view name) {
  return Value::Undefined(
      absl::StrCat("access to attribute '", View(name), "' of '", TypeName(value), "' object is unsafe."));
}

template <typename Code>
Value Bound(std::string_view name, Code code) {
  return Value::Of(Function{std::string(name), std::move(code)});
}

std::optional<Value> DictMethod(const Value& value, std::string_view name) {
  if (IsOneOf(name, kChangesDict)) return Unsafe(value, name);
  if (name == "get") {
    return Bound(name, [value](const Arguments& given) -> absl::StatusOr<Value> {
      DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("get", given, {"key", "default"}));
      DR_ASSIGN_OR_RETURN(const Value key, arguments.Required(0));
      if (!IsHashable(key))
        return absl::InvalidArgumentError(absl::StrCat("unhashable type: '", TypeName(key), "'"));
      const Value* found = value.dict().Find(key);
      return found != nullptr ? *found : arguments.Has(1) ? arguments.Get(1) : Value::None();
    });
  }
  if (name != "items" && name != "keys" && name != "values" && name != "copy") return std::nullopt;
  return Bound(name, [value, name = std::string(name)](const Arguments& given) -> absl::StatusOr<Value> {
    DR_RETURN_IF_ERROR(BoundArguments::Bind(name, given, {}).status());
    if (name == "copy") return value;
    std::vector<Value> items;
    for (const auto& [key, item] : value.dict().entries()) {
      items.push_back(name == "items" ? Value::Tuple({key, item}) : name == "keys" ? key : item);
    }
    return Value::View(std::move(items));
  });
}

std::optional<Value> SequenceMethod(const Value& value, std::string_view name) {
  const SequenceKind kind = value.sequence().kind;
  if (kind != SequenceKind::kList && kind != SequenceKind::kTuple) return std::nullopt;
  if (kind == SequenceKind::kList && IsOneOf(name, kChangesList)) return Unsafe(value, name);
  if (name == "copy" && kind == SequenceKind::kList) {
    return Bound(name, [value](const Arguments&) -> absl::StatusOr<Value> { return value; });
  }
  if (name != "index" && name != "count") return std::nullopt;
  return Bound(name, [value, counts = name == "count"](const Arguments& given) -> absl::StatusOr<Value> {
    DR_ASSIGN_OR_RETURN(const auto arguments,
                        BoundArguments::Bind(counts ? "count" : "index", given, {"item"}));
    DR_ASSIGN_OR_RETURN(const Value item, arguments.Required(0));
    const std::vector<Value>& items = value.sequence().items;
    int64_t count = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      if (!Equal(items[i], item)) continue;
      if (!counts) return Value::Int(static_cast<int64_t>(i));
      ++count;
    }
    if (!counts) return absl::InvalidArgumentError("index: the item is not in the list");
    return Value::Int(count);
  });
}

}  // namespace

std::optional<Value> Method(const Value& value, std::string_view name) {
  if (value.is_string()) return StringMethod(value, name);
  if (value.is(Kind::kDict)) return DictMethod(value, name);
  if (value.is(Kind::kSequence)) return SequenceMethod(value, name);
  if (value.is(Kind::kFunction) && name == "name") return Value::Literal(value.function().name);
  return std::nullopt;
}

absl::StatusOr<std::optional<Value>> LoopAttribute(const Value& value, std::string_view name) {
  Loop& loop = value.loop();
  if (name == "index") return Value::Int(loop.index0 + 1);
  if (name == "index0") return Value::Int(loop.index0);
  if (name == "first") return Value::Bool(loop.index0 == 0);
  if (name == "depth") return Value::Int(1);  // of recursive loops, which are not supported
  if (name == "depth0") return Value::Int(0);
  if (name == "last") {
    DR_ASSIGN_OR_RETURN(const Value* next, loop.Peek());
    return Value::Bool(next == nullptr);
  }
  if (name == "nextitem") {
    DR_ASSIGN_OR_RETURN(const Value* next, loop.Peek());
    return next != nullptr ? *next : Value::Undefined("there is no next item");
  }
  if (name == "previtem")
    return loop.index0 > 0 ? loop.previous : Value::Undefined("there is no previous item");
  if (name == "length" || name == "revindex" || name == "revindex0") {
    DR_ASSIGN_OR_RETURN(const int64_t length, loop.Length());
    if (name == "length") return Value::Int(length);
    return Value::Int(length - loop.index0 - (name == "revindex0" ? 1 : 0));
  }
  if (name == "cycle") {
    return Bound(name, [value](const Arguments& given) -> absl::StatusOr<Value> {
      if (given.positional.empty()) return absl::InvalidArgumentError("no items for cycling given");
      return given.positional[static_cast<size_t>(value.loop().index0) % given.positional.size()];
    });
  }
  if (name == "changed") {
    return Bound(name, [value](const Arguments& given) -> absl::StatusOr<Value> {
      Value now = Value::Tuple(given.positional);
      Loop& loop = value.loop();
      const bool changed = !loop.has_changed || !Equal(loop.last_changed, now);
      loop.last_changed = std::move(now);
      loop.has_changed = true;
      return Value::Bool(changed);
    });
  }
  return std::nullopt;
}

absl::StatusOr<Value> PercentFormat(const Text& format, const std::vector<Value>& values) {
  const std::string_view bytes = format.bytes();
  Text out;
  size_t next = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t sign = bytes.find('%', at);
    out.AppendSlice(format, at, std::min(sign, bytes.size()));
    if (sign == bytes.npos) break;
    const char kind = sign + 1 < bytes.size() ? bytes[sign + 1] : '\0';
    at = sign + 2;
    if (kind == '%') {
      out.AppendSlice(format, sign, sign + 1);
      continue;
    }
    if (kind != 's' && kind != 'd' && kind != 'i') {
      return absl::InvalidArgumentError("a % format other than %s, %d and %% is not supported");
    }
    if (next >= values.size()) return absl::InvalidArgumentError("not enough arguments for format string");
    const Value& value = values[next++];
    if (kind != 's' && !value.is_number()) {
      return absl::InvalidArgumentError(
          absl::StrCat("%d format: a number is required, not ", TypeName(value)));
    }
    if (kind != 's' && !value.is_integral() && !(std::abs(value.number()) < 9e18)) {
      return absl::InvalidArgumentError("%d format: the number is too large");
    }
    DR_ASSIGN_OR_RETURN(const Text text,
                        ToText(kind == 's'           ? value
                               : value.is_integral() ? Value::Int(value.integer())
                                                     : Value::Int(static_cast<int64_t>(value.number()))));
    out.Append(text);
    if (out.size() > kMaxTextBytes) return TextTooLong();
  }
  if (next < values.size())
    return absl::InvalidArgumentError("not all arguments converted during string formatting");
  return Value::String(std::move(out));
}

}  // namespace deeprack::coordinator::jinja
