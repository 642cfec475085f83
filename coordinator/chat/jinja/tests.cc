#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/arguments.h"
#include "coordinator/chat/jinja/filters.h"
#include "coordinator/chat/jinja/methods.h"
#include "coordinator/chat/jinja/operators.h"

namespace deeprack::coordinator::jinja {
namespace {

bool IsIterable(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is(Kind::kSequence) || value.is(Kind::kDict) ||
         value.is(Kind::kLoop);
}

// What has a length and items by number or key: jinja2 calls a text, a dict and an undefined value sequences.
bool IsSequence(const Value& value) {
  if (value.is(Kind::kSequence)) {
    return value.sequence().kind == SequenceKind::kList || value.sequence().kind == SequenceKind::kTuple;
  }
  return value.is_undefined() || value.is_string() || value.is(Kind::kDict);
}

bool Says(const Value& value, std::string_view method) {
  if (!value.is_string()) return false;
  const absl::StatusOr<Value> answer = StringMethod(value, method)->function().call({});
  return answer.ok() && IsTrue(*answer);
}

struct PlainTest {
  std::string_view name;
  bool (*holds)(const Value&);
};

constexpr PlainTest kPlainTests[] = {
    {"defined", [](const Value& value) { return !value.is_undefined(); }},
    {"undefined", [](const Value& value) { return value.is_undefined(); }},
    {"none", [](const Value& value) { return value.is_none(); }},
    {"boolean", [](const Value& value) { return value.is(Kind::kBool); }},
    {"true", [](const Value& value) { return value.is(Kind::kBool) && value.boolean(); }},
    {"false", [](const Value& value) { return value.is(Kind::kBool) && !value.boolean(); }},
    {"integer", [](const Value& value) { return value.is(Kind::kInt); }},
    {"float", [](const Value& value) { return value.is(Kind::kFloat); }},
    {"number", [](const Value& value) { return value.is_number(); }},
    {"string", [](const Value& value) { return value.is_string(); }},
    {"mapping", [](const Value& value) { return value.is(Kind::kDict); }},
    {"iterable", IsIterable},
    {"sequence", IsSequence},
    {"callable",
     [](const Value& value) {
       return value.is(Kind::kFunction) || value.is(Kind::kLoop) || value.is_undefined();
     }},
    {"upper", [](const Value& value) { return Says(value, "isupper"); }},
    {"lower", [](const Value& value) { return Says(value, "islower"); }},
    {"escaped", [](const Value& value) { return value.is_string() && value.text().is_html(); }},
};

struct ComparingTest {
  std::string_view name, sign;
};

constexpr ComparingTest kComparingTests[] = {
    {"eq", "=="},      {"equalto", "=="}, {"==", "=="}, {"ne", "!="}, {"!=", "!="}, {"lt", "<"},
    {"lessthan", "<"}, {"<", "<"},        {"le", "<="}, {"<=", "<="}, {"gt", ">"},  {"greaterthan", ">"},
    {">", ">"},        {"ge", ">="},      {">=", ">="}, {"in", "in"},
};

absl::StatusOr<bool> Divides(const Value& value, const Value& divisor, int64_t wanted) {
  DR_ASSIGN_OR_RETURN(const Value remainder, Arithmetic("%", value, divisor));
  return Equal(remainder, Value::Int(wanted));
}

}  // namespace

absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value, const Arguments& given) {
  for (const PlainTest& test : kPlainTests) {
    if (test.name != name) continue;
    DR_RETURN_IF_ERROR(BoundArguments::Bind(name, given, {}).status());
    return test.holds(value);
  }
  for (const ComparingTest& test : kComparingTests) {
    if (test.name != name) continue;
    DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind(name, given, {"other"}));
    DR_ASSIGN_OR_RETURN(const Value other, arguments.Required(0));
    return Compare(test.sign, value, other);
  }
  if (name == "odd") return Divides(value, Value::Int(2), 1);
  if (name == "even") return Divides(value, Value::Int(2), 0);
  if (name == "divisibleby") {
    DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind(name, given, {"num"}));
    DR_ASSIGN_OR_RETURN(const Value divisor, arguments.Required(0));
    return Divides(value, divisor, 0);
  }
  if (name == "sameas") {
    DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind(name, given, {"other"}));
    DR_ASSIGN_OR_RETURN(const Value other, arguments.Required(0));
    return value.kind() == other.kind() && Equal(value, other);
  }
  if (name == "filter") {
    return value.is_string() &&
           (FindScalarFilter(value.bytes()) != nullptr || FindSequenceFilter(value.bytes()) != nullptr);
  }
  return absl::InvalidArgumentError(absl::StrCat("no test named '", View(name), "'"));
}

}  // namespace deeprack::coordinator::jinja
