// The filters and tests of jinja2: value | name(...), value is name(...).
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/budget.h"
#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator::jinja {

// Errors: InvalidArgument for an unknown filter, and for values or arguments that the filter does not take;
// ResourceExhausted if the result gets too long or the budget ends.
absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value, const Arguments& arguments,
                                  Budget& budget);

// Errors: InvalidArgument for an unknown test, and for values or arguments that the test does not take.
absl::StatusOr<bool> ApplyTest(std::string_view name, const Value& value, const Arguments& arguments);

// The code of one filter. Filters are found by name in two lists: of texts and numbers, and of sequences.
using FilterCode = absl::StatusOr<Value> (*)(const Value& value, const Arguments& given, Budget& budget);
FilterCode FindScalarFilter(std::string_view name);    // nullptr: none
FilterCode FindSequenceFilter(std::string_view name);  // nullptr: none

}  // namespace deeprack::coordinator::jinja
