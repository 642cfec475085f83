// Compiles one constraint, on the calling thread. constraint/compiler.h does this on threads of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "constraint/matcher.h"
#include "constraint/vocabulary.h"
#include "model/step/constraint_spec.h"

namespace deeprack::constraint {

// When masks are computed.
enum class MaskTime : uint8_t {
  kAhead,     // those of all states when the constraint is compiled
  kOnDemand,  // those of a state when a matcher first comes to the state; all matchers of the constraint
              // share them
};

// A compiled constraint. Immutable for its users, so thread-safe.
class CompiledConstraint {
 public:
  virtual ~CompiledConstraint() = default;

  // A matcher that has taken `prefix`. It may outlive this object. Errors: InvalidArgument, if no text
  // of the constraint begins with `prefix`.
  virtual absl::StatusOr<std::unique_ptr<Matcher>> NewMatcher(std::string_view prefix) const = 0;

  virtual int64_t bytes() const = 0;  // of memory
};

// Checks `spec` (schema_check.h, regex_check.h, grammar_check.h) and compiles it. The checks bound the time
// and the memory of compiling. Errors: InvalidArgument: the message says what is wrong, and where.
absl::StatusOr<std::shared_ptr<const CompiledConstraint>> Compile(
    std::shared_ptr<const Vocabulary> vocabulary, const model::ConstraintSpec& spec, MaskTime masks);

}  // namespace deeprack::constraint
