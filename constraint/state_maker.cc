#include "constraint/state_maker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::constraint {

absl::StatusOr<std::unique_ptr<TokenState>> StateMaker::Make(const model::Constraint& constraint,
                                                             std::span<const TokenId> output) {
  if (constraint.start > model::OutputStart::kThinking) {
    return absl::InvalidArgumentError(
        absl::StrCat("the constraint's start is ", static_cast<int>(constraint.start)));
  }
  DR_ASSIGN_OR_RETURN(const std::shared_ptr<const CompiledConstraint> compiled, Compiled(constraint.spec));
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Matcher> matcher, compiled->NewMatcher(constraint.prefix));
  auto state = std::make_unique<TokenState>(constraint, std::move(matcher));
  for (size_t i = 0; i < output.size(); ++i) {
    DR_ASSIGN_OR_RETURN(const bool accepted, state->Accept(output[i]));
    if (!accepted) {
      return absl::InvalidArgumentError(
          absl::StrCat("the constraint does not allow token ", i, " of the output, ", output[i]));
    }
  }
  return state;
}

absl::StatusOr<std::shared_ptr<const CompiledConstraint>> StateMaker::Compiled(
    const model::ConstraintSpec& spec) {
  if (vocabulary_ == nullptr)
    return absl::InvalidArgumentError("this rank has no vocabulary for constraints");
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.spec == spec; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return kept_.front().compiled;
  }
  DR_ASSIGN_OR_RETURN(std::shared_ptr<const CompiledConstraint> compiled,
                      Compile(vocabulary_, spec, MaskTime::kOnDemand));
  kept_.push_front({spec, compiled});
  if (kept_.size() > kMostKept) kept_.pop_back();
  return compiled;
}

}  // namespace deeprack::constraint
