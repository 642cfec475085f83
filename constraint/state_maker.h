// Makes the token states of sequences, and keeps the constraints that it has compiled. Belongs to one thread.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "constraint/compile.h"
#include "constraint/token_state.h"
#include "constraint/vocabulary.h"
#include "model/step/constraint_spec.h"

namespace deeprack::constraint {

class StateMaker {
 public:
  // Without a vocabulary, every constraint is refused.
  explicit StateMaker(std::shared_ptr<const Vocabulary> vocabulary) : vocabulary_(std::move(vocabulary)) {}

  // The state after `output`, the tokens that the sequence has after its prompt. Masks are computed on
  // demand, so this takes milliseconds. Errors: InvalidArgument: the constraint cannot be compiled, or does
  // not allow its prefix or the output.
  absl::StatusOr<std::unique_ptr<TokenState>> Make(const model::Constraint& constraint,
                                                   std::span<const TokenId> output);

 private:
  static constexpr size_t kMostKept = 64;

  struct Kept {
    model::ConstraintSpec spec;
    std::shared_ptr<const CompiledConstraint> compiled;
  };

  absl::StatusOr<std::shared_ptr<const CompiledConstraint>> Compiled(const model::ConstraintSpec& spec);

  const std::shared_ptr<const Vocabulary> vocabulary_;
  std::list<Kept> kept_;  // the latest use first
};

}  // namespace deeprack::constraint
