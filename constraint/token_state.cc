#include "constraint/token_state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace deeprack::constraint {
namespace {

bool Contains(std::span<const TokenId> tokens, TokenId token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

void Set(std::span<uint32_t> mask, TokenId token, bool allowed) {
  const auto word = static_cast<size_t>(token) / 32;
  if (token < 0 || word >= mask.size()) return;
  const uint32_t bit = uint32_t{1} << (token % 32);
  mask[word] = allowed ? mask[word] | bit : mask[word] & ~bit;
}

}  // namespace

TokenState::TokenState(const model::Constraint& constraint, std::unique_ptr<Matcher> matcher)
    : think_begin_(constraint.think_begin),
      think_end_(constraint.think_end),
      triggers_(constraint.triggers),
      not_while_thinking_(constraint.not_while_thinking),
      matcher_(std::move(matcher)) {
  switch (constraint.start) {
    case model::OutputStart::kAnswer:
      Begin(answer());
      break;
    case model::OutputStart::kMayThink:
      Begin(Phase::kMayThink);
      break;
    case model::OutputStart::kThinking:
      Begin(Phase::kThinking);
      break;
  }
}

absl::StatusOr<bool> TokenState::FillMask(std::span<uint32_t> mask) {
  switch (phase()) {
    case Phase::kMayThink:
      if (answer() == Phase::kFree) return false;
      DR_RETURN_IF_ERROR(matcher_->Fill(mask));
      Set(mask, think_begin_, true);
      return true;
    case Phase::kThinking:
      if (not_while_thinking_.empty()) return false;
      std::fill(mask.begin(), mask.end(), ~uint32_t{0});
      for (const TokenId token : not_while_thinking_) Set(mask, token, false);
      return true;
    case Phase::kConstrained:
      DR_RETURN_IF_ERROR(matcher_->Fill(mask));
      return true;
    case Phase::kFree:
    case Phase::kEnded:
      return false;
  }
  return false;
}

absl::StatusOr<bool> TokenState::Accept(TokenId token) {
  switch (phase()) {
    case Phase::kMayThink:
      if (token == think_begin_) {
        Count();
        Begin(Phase::kThinking);
        return true;
      }
      return answer() == Phase::kFree ? TakeFree(token) : Match(token);
    case Phase::kThinking:
      if (Contains(not_while_thinking_, token)) return false;
      if (Contains(triggers_, token)) return Match(token);
      Count();
      if (token == think_end_) Begin(answer());
      return true;
    case Phase::kFree:
      return TakeFree(token);
    case Phase::kConstrained:
      return Match(token);
    case Phase::kEnded:
      Count();
      return true;
  }
  return false;
}

absl::StatusOr<bool> TokenState::TakeFree(TokenId token) {
  if (Contains(triggers_, token)) return Match(token);
  Count();
  if (phase() == Phase::kMayThink) Begin(Phase::kFree);
  return true;
}

absl::StatusOr<bool> TokenState::Match(TokenId token) {
  DR_ASSIGN_OR_RETURN(const bool accepted, matcher_->Accept(token));
  if (!accepted) return false;
  Count();
  runs_.back().last_matched = true;
  if (matcher_->ended()) {
    Begin(Phase::kEnded);
  } else if (!triggers_.empty() && matcher_->complete()) {
    Begin(Phase::kFree);
  } else if (phase() != Phase::kConstrained) {
    Begin(Phase::kConstrained);
  }
  return true;
}

absl::Status TokenState::Rollback(int32_t tokens) {
  int32_t matched = 0;  // tokens to take back from the matcher
  while (tokens > 0) {
    Run& run = runs_.back();
    const int32_t taken = std::min(tokens, run.tokens);
    if (taken > 0) {
      matched += run.phase == Phase::kConstrained ? taken : run.last_matched ? 1 : 0;
      run.last_matched = false;
      run.tokens -= taken;
      tokens -= taken;
    }
    if (tokens == 0) break;
    DR_CHECK(runs_.size() > 1);
    runs_.pop_back();
  }
  return matched == 0 ? absl::OkStatus() : matcher_->Rollback(matched);
}

}  // namespace deeprack::constraint
