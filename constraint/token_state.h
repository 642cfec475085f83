// What the next token of one sequence may be: the sequence thinks, answers freely, is inside its constraint,
// or has ended. The state changes token by token and can be taken back token by token, so think_end, the
// beginning and the end of the constraint, and end tokens may fall anywhere in a run of drafts.
//
// Rules:
// - While the sequence thinks, the matcher takes no token, and the tokens of `not_while_thinking` may not
//   come. A trigger ends the thought.
// - Without triggers the whole answer is inside the constraint, up to an end token.
// - With triggers the answer is free. A trigger begins a text of the constraint. After a whole text the
//   answer is free again.
// - After the end the matcher takes no token, and every token may come.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "constraint/matcher.h"
#include "model/step/constraint_spec.h"

namespace deeprack::constraint {

class TokenState {
 public:
  enum class Phase : uint8_t {
    kMayThink,  // before the first token, which may be think_begin
    kThinking,
    kFree,
    kConstrained,
    kEnded,
  };

  // `matcher` has taken constraint.prefix.
  TokenState(const model::Constraint& constraint, std::unique_ptr<Matcher> matcher);

  Phase phase() const { return runs_.back().phase; }

  // Writes the mask of the next token. False: every token may come, and `mask` is as before. Errors:
  // Internal, if the matcher failed; the sequence cannot go on.
  absl::StatusOr<bool> FillMask(std::span<uint32_t> mask);

  // Takes the next token. False: the token may not come here, and nothing has changed. Errors: as FillMask.
  absl::StatusOr<bool> Accept(TokenId token);

  // Takes back the last `tokens` accepted tokens. At most the tokens accepted since the beginning. Errors: as
  // FillMask.
  absl::Status Rollback(int32_t tokens);

 private:
  // Tokens, one after the other, that came in the same phase.
  struct Run {
    Phase phase;
    int32_t tokens = 0;
    // Of a run that is not kConstrained: the matcher has taken the run's last token, too.
    bool last_matched = false;
  };

  // The phase in which the answer begins.
  Phase answer() const { return triggers_.empty() ? Phase::kConstrained : Phase::kFree; }
  // Gives a token to the matcher, and begins the phase that follows.
  absl::StatusOr<bool> Match(TokenId token);
  absl::StatusOr<bool> TakeFree(TokenId token);
  void Count() { ++runs_.back().tokens; }
  void Begin(Phase phase) { runs_.push_back({.phase = phase}); }

  const TokenId think_begin_, think_end_;
  const std::vector<TokenId> triggers_, not_while_thinking_;
  const std::unique_ptr<Matcher> matcher_;
  std::vector<Run> runs_;  // never empty; the last one is the present phase
};

}  // namespace deeprack::constraint
