// Checks a constraint before it is compiled. A constraint that would take the compiler long is refused here,
// in the time that reading its text takes.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/step/constraint_spec.h"

namespace deeprack::constraint {

// The text of the constraint in the form that the compiler is given. Errors: InvalidArgument: the message
// says what is wrong, and where.
absl::StatusOr<std::string> CheckSpec(const model::ConstraintSpec& spec);

}  // namespace deeprack::constraint
