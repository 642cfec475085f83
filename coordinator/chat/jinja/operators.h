// Python's operators on values of a template.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator::jinja {

// a + b, a - b, a * b, a / b, a // b, a % b, a ** b; `sign` names the operator. Errors: InvalidArgument for
// types that the operator does not take, for division by zero, and for integers beyond 64 bits;
// ResourceExhausted for a text or sequence that gets too long.
absl::StatusOr<Value> Arithmetic(std::string_view sign, const Value& a, const Value& b);

absl::StatusOr<Value> Negate(const Value& value);

// `item` in `container`. Errors: InvalidArgument if the container holds nothing.
absl::StatusOr<bool> Contains(const Value& container, const Value& item);

// a OP b for ==, !=, <, <=, >, >=, "in" and "not in".
absl::StatusOr<bool> Compare(std::string_view sign, const Value& a, const Value& b);

// value.name: a method, else the item of that name. Undefined if there is none. Errors: InvalidArgument for
// an attribute of an undefined value.
absl::StatusOr<Value> GetAttribute(const Value& value, std::string_view name);

// value[key]: the item, else the method of that name. Undefined if there is none.
absl::StatusOr<Value> GetItem(const Value& value, const Value& key);

// value[begin:end:step]; none or undefined stands for a bound that is not given.
absl::StatusOr<Value> GetSlice(const Value& value, const Value& begin, const Value& end, const Value& step);

// len(value). Errors: InvalidArgument for a value without a length.
absl::StatusOr<int64_t> Length(const Value& value);

}  // namespace deeprack::coordinator::jinja
