// How the interpreter evaluates expressions.
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/filters.h"
#include "coordinator/chat/jinja/interpreter.h"
#include "coordinator/chat/jinja/operators.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {
namespace {

constexpr size_t kMaxDepth = 200;               // levels of sequences and dicts
constexpr size_t kMaxWeight = size_t{1} << 24;  // values below one value

// The steps that work on the whole value counts for.
size_t Cost(const Value& value) { return value.extent().weight / (value.is_string() ? 1 : 4); }

// These filters take a sequence or dict without a look at all that is below.
bool IsShallow(const std::string& filter) {
  for (const char* name : {"length", "count", "first", "default", "d", "items", "safe", "string"}) {
    if (filter == name) return true;
  }
  return false;
}

}  // namespace

Value Interpreter::Lookup(const std::string& name) const {
  const Value* found = scope_->Find(name);
  return found != nullptr ? *found : Value::Undefined(absl::StrCat("'", name, "' is undefined"));
}

absl::StatusOr<Value> Interpreter::Evaluate(const Expr& expression) {
  const Depth depth(*this);
  if (absl::Status status = depth.Check(); !status.ok()) return Located(expression.line, std::move(status));
  absl::StatusOr<Value> value = EvaluateHere(expression);
  if (!value.ok()) return Located(expression.line, value.status());
  const Extent extent = value->extent();
  if (extent.depth > kMaxDepth || extent.weight > kMaxWeight) {
    return Located(expression.line, absl::ResourceExhaustedError("a value holds too many values"));
  }
  return value;
}

absl::StatusOr<Value> Interpreter::EvaluateHere(const Expr& expression) {
  switch (expression.kind) {
    case ExprKind::kConstant:
      return expression.constant;
    case ExprKind::kName:
      return Lookup(expression.name);
    case ExprKind::kList: {
      DR_ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateAll(expression));
      return Value::List(std::move(items));
    }
    case ExprKind::kTuple: {
      DR_ASSIGN_OR_RETURN(std::vector<Value> items, EvaluateAll(expression));
      return Value::Tuple(std::move(items));
    }
    case ExprKind::kDict:
      return EvaluateDict(expression);
    case ExprKind::kAttribute: {
      DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.children[0]));
      return GetAttribute(value, expression.name);
    }
    case ExprKind::kItem: {
      DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.children[0]));
      DR_ASSIGN_OR_RETURN(const Value key, Evaluate(*expression.children[1]));
      if (value.is_string()) DR_RETURN_IF_ERROR(budget_.Spend(Cost(value)));
      return GetItem(value, key);
    }
    case ExprKind::kSlice:
      return EvaluateSlice(expression);
    case ExprKind::kCall:
      return EvaluateCall(expression);
    case ExprKind::kFilter:
      return EvaluateFilter(expression);
    case ExprKind::kTest: {
      DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.children[0]));
      DR_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression));
      if (!arguments.positional.empty()) {
        DR_RETURN_IF_ERROR(budget_.Spend(std::min(Cost(value), Cost(arguments.positional[0]))));
      }
      DR_ASSIGN_OR_RETURN(const bool holds, ApplyTest(expression.name, value, arguments));
      return Value::Bool(holds);
    }
    case ExprKind::kNot: {
      DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.children[0]));
      return Value::Bool(!IsTrue(value));
    }
    case ExprKind::kNegate: {
      DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.children[0]));
      return Negate(value);
    }
    case ExprKind::kPlus: {
      DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.children[0]));
      if (value.is_number()) return value;
      return absl::InvalidArgumentError(
          absl::StrCat("bad operand type for unary +: '", TypeName(value), "'"));
    }
    case ExprKind::kBinary:
      return EvaluateBinary(expression);
    case ExprKind::kConcat:
      return EvaluateConcat(expression);
    case ExprKind::kCompare:
      return EvaluateCompare(expression);
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      DR_ASSIGN_OR_RETURN(Value left, Evaluate(*expression.children[0]));
      if (IsTrue(left) == (expression.kind == ExprKind::kOr)) return left;
      return Evaluate(*expression.children[1]);
    }
    case ExprKind::kConditional:
      return EvaluateConditional(expression);
  }
  return Value();
}

absl::StatusOr<std::vector<Value>> Interpreter::EvaluateAll(const Expr& expression) {
  std::vector<Value> values;
  for (const ExprPtr& child : expression.children) {
    DR_ASSIGN_OR_RETURN(Value value, Evaluate(*child));
    values.push_back(std::move(value));
  }
  return values;
}

absl::StatusOr<Value> Interpreter::EvaluateDict(const Expr& expression) {
  Dict dict;
  for (size_t i = 0; i + 1 < expression.children.size(); i += 2) {
    DR_ASSIGN_OR_RETURN(Value key, Evaluate(*expression.children[i]));
    DR_ASSIGN_OR_RETURN(Value value, Evaluate(*expression.children[i + 1]));
    if (!IsHashable(key))
      return absl::InvalidArgumentError(absl::StrCat("unhashable type: '", TypeName(key), "'"));
    dict.Set(std::move(key), std::move(value));
  }
  return Value::Of(std::move(dict));
}

absl::StatusOr<Value> Interpreter::EvaluateBinary(const Expr& expression) {
  DR_ASSIGN_OR_RETURN(const Value left, Evaluate(*expression.children[0]));
  DR_ASSIGN_OR_RETURN(const Value right, Evaluate(*expression.children[1]));
  DR_ASSIGN_OR_RETURN(Value result, Arithmetic(expression.name, left, right));
  DR_RETURN_IF_ERROR(budget_.Spend(Cost(result)));
  return result;
}

absl::StatusOr<Value> Interpreter::EvaluateConcat(const Expr& expression) {
  Text text;
  for (const ExprPtr& child : expression.children) {
    DR_ASSIGN_OR_RETURN(const Value value, Evaluate(*child));
    DR_ASSIGN_OR_RETURN(const Text part, ToText(value));
    text.Append(part);
    if (text.size() > kMaxTextBytes) return TextTooLong();
  }
  Value joined = Value::String(std::move(text));
  DR_RETURN_IF_ERROR(budget_.Spend(Cost(joined)));
  return joined;
}

absl::StatusOr<Value> Interpreter::EvaluateCompare(const Expr& expression) {
  DR_ASSIGN_OR_RETURN(Value left, Evaluate(*expression.children[0]));
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    DR_ASSIGN_OR_RETURN(Value right, Evaluate(*expression.children[i + 1]));
    const std::string& sign = expression.operators[i];
    const bool searches = sign == "in" || sign == "not in";
    const size_t cost = !searches               ? std::min(Cost(left), Cost(right))
                        : right.is(Kind::kDict) ? Cost(left)
                                                : Cost(right);
    DR_RETURN_IF_ERROR(budget_.Spend(cost));
    DR_ASSIGN_OR_RETURN(const bool holds, Compare(sign, left, right));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

absl::StatusOr<Value> Interpreter::EvaluateConditional(const Expr& expression) {
  DR_ASSIGN_OR_RETURN(const Value condition, Evaluate(*expression.children[1]));
  if (IsTrue(condition)) return Evaluate(*expression.children[0]);
  if (expression.children[2] != nullptr) return Evaluate(*expression.children[2]);
  return Value::Undefined("the inline if-expression evaluated to false and no else section was defined.");
}

absl::StatusOr<Value> Interpreter::EvaluateSlice(const Expr& expression) {
  std::vector<Value> parts;
  for (const ExprPtr& child : expression.children) {
    if (child == nullptr) {
      parts.push_back(Value::None());
      continue;
    }
    DR_ASSIGN_OR_RETURN(Value part, Evaluate(*child));
    parts.push_back(std::move(part));
  }
  if (parts[0].is_string()) DR_RETURN_IF_ERROR(budget_.Spend(Cost(parts[0])));
  DR_ASSIGN_OR_RETURN(Value slice, GetSlice(parts[0], parts[1], parts[2], parts[3]));
  if (slice.is(Kind::kSequence)) DR_RETURN_IF_ERROR(budget_.Spend(slice.sequence().items.size() / 8));
  return slice;
}

absl::StatusOr<Arguments> Interpreter::EvaluateArguments(const Expr& call) {
  Arguments arguments;
  for (size_t i = 1; i < call.children.size(); ++i) {
    DR_ASSIGN_OR_RETURN(Value value, Evaluate(*call.children[i]));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, expression] : call.named) {
    DR_ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    arguments.named.emplace_back(name, std::move(value));
  }
  return arguments;
}

absl::StatusOr<Value> Interpreter::EvaluateCall(const Expr& expression) {
  const Expr& callee = *expression.children[0];
  if (callee.kind == ExprKind::kAttribute) {  // a method works on the value before the dot
    DR_ASSIGN_OR_RETURN(const Value self, Evaluate(*callee.children[0]));
    if (self.is_string()) DR_RETURN_IF_ERROR(budget_.Spend(Cost(self)));
    if (self.is(Kind::kSequence)) DR_RETURN_IF_ERROR(budget_.Spend(Cost(self)));
    if (self.is(Kind::kDict)) DR_RETURN_IF_ERROR(budget_.Spend(self.dict().entries().size() / 4));
    DR_ASSIGN_OR_RETURN(const Value function, GetAttribute(self, callee.name));
    return CallValue(function, expression);
  }
  DR_ASSIGN_OR_RETURN(const Value function, Evaluate(callee));
  return CallValue(function, expression);
}

absl::StatusOr<Value> Interpreter::CallValue(const Value& function, const Expr& call) {
  DR_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(call));
  if (function.is_undefined()) return absl::InvalidArgumentError(function.why());
  if (!function.is(Kind::kFunction)) {
    return absl::InvalidArgumentError(absl::StrCat("'", TypeName(function), "' object is not callable"));
  }
  DR_ASSIGN_OR_RETURN(Value result, function.function().call(arguments));
  DR_RETURN_IF_ERROR(budget_.Spend(Cost(result)));
  return result;
}

absl::StatusOr<Value> Interpreter::EvaluateChain(const Expr& chain, Value written) {
  Value outer = std::exchange(written_block_, std::move(written));
  absl::StatusOr<Value> value = Evaluate(chain);
  written_block_ = std::move(outer);
  return value;
}

absl::StatusOr<Value> Interpreter::EvaluateFilter(const Expr& expression) {
  Value value = written_block_;
  if (expression.children[0] != nullptr) {
    DR_ASSIGN_OR_RETURN(value, Evaluate(*expression.children[0]));
  }
  DR_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression));
  if (value.is_string() || !IsShallow(expression.name)) DR_RETURN_IF_ERROR(budget_.Spend(Cost(value)));
  DR_ASSIGN_OR_RETURN(Value result, ApplyFilter(expression.name, value, arguments, budget_));
  if (result.is_string() || !IsShallow(expression.name)) DR_RETURN_IF_ERROR(budget_.Spend(Cost(result)));
  return result;
}

}  // namespace deeprack::coordinator::jinja
