// The functions that a template calls without a value before a dot: range, namespace, raise_exception, ...
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/arguments.h"
#include "coordinator/chat/jinja/interpreter.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as jinja2's sandbox

absl::StatusOr<Value> Range(const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("range", given, {"start", "stop", "step"}));
  DR_RETURN_IF_ERROR(arguments.Required(0).status());
  for (size_t i = 0; i < 3; ++i) {
    if (arguments.Has(i) && !arguments.Get(i).is_integral()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", TypeName(arguments.Get(i)), "' object cannot be interpreted as an integer"));
    }
  }
  DR_ASSIGN_OR_RETURN(int64_t start, arguments.Integer(0, 0));
  DR_ASSIGN_OR_RETURN(int64_t stop, arguments.Integer(1, 0));
  DR_ASSIGN_OR_RETURN(const int64_t step, arguments.Integer(2, 1));
  if (!arguments.Has(1)) stop = std::exchange(start, 0);
  if (step == 0) return absl::InvalidArgumentError("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (static_cast<int64_t>(items.size()) >= kMaxRange) {
      return absl::ResourceExhaustedError(absl::StrCat("range too big: more than ", kMaxRange, " items"));
    }
    items.push_back(Value::Int(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return Value::List(std::move(items));
}

absl::StatusOr<Dict> DictOf(const Arguments& given) {
  Dict dict;
  if (given.positional.size() > 1)
    return absl::InvalidArgumentError("at most one argument without a name is taken");
  if (!given.positional.empty()) {
    if (!given.positional[0].is(Kind::kDict)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a dict is needed, not ", TypeName(given.positional[0])));
    }
    dict = given.positional[0].dict();
  }
  for (const auto& [name, value] : given.named) dict.Set(name, value);
  return dict;
}

absl::StatusOr<Value> MakeDict(const Arguments& given) {
  DR_ASSIGN_OR_RETURN(Dict dict, DictOf(given));
  return Value::Of(std::move(dict));
}

absl::StatusOr<Value> RaiseException(const Arguments& given) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("raise_exception", given, {"message"}));
  DR_ASSIGN_OR_RETURN(const Value message, arguments.Required(0));
  DR_ASSIGN_OR_RETURN(const Text text, ToText(message));
  return absl::InvalidArgumentError(text.bytes());
}

absl::StatusOr<Value> FormatTime(const Arguments& given, absl::Time now) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("strftime_now", given, {"format"}));
  DR_ASSIGN_OR_RETURN(const Text format, arguments.RequiredString(0));
  const std::tm time = absl::ToTM(now, absl::LocalTimeZone());
  if (format.size() > 1024)
    return absl::InvalidArgumentError("strftime_now(): the format has more than 1024 bytes");
  std::string text(format.size() * 64 + 64, '\0');
  text.resize(std::strftime(text.data(), text.size(), format.bytes().c_str(), &time));
  return Value::Literal(std::move(text));
}

}  // namespace

void Interpreter::AddGlobal(std::string name, std::function<absl::StatusOr<Value>(const Arguments&)> code) {
  Value function = Value::Of(Function{name, std::move(code)});
  scope_->Set(name, std::move(function));
}

void Interpreter::AddGlobals(absl::Time now) {
  AddGlobal("range", Range);
  AddGlobal("dict", MakeDict);
  AddGlobal("raise_exception", RaiseException);
  AddGlobal("strftime_now", [now](const Arguments& given) { return FormatTime(given, now); });
  AddGlobal("namespace", [this](const Arguments& given) -> absl::StatusOr<Value> {
    DR_ASSIGN_OR_RETURN(Dict attributes, DictOf(given));
    namespaces_.push_back(std::make_shared<Namespace>(Namespace{std::move(attributes)}));
    return Value::Of(namespaces_.back());
  });
}

}  // namespace deeprack::coordinator::jinja
