// A request as the scheduler sees it: values only. api/ makes it from HTTP, the scheduler makes sequences
// from it.
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "model/step/constraint_spec.h"
#include "model/step/message_size.h"
#include "model/step/sampling_params.h"
#include "model/step/step_result.h"

namespace deeprack::coordinator {

struct Request {
  std::vector<TokenId> prompt;  // never empty
  model::SamplingParams sampling;
  int32_t max_tokens = 0;  // 0: only the prompt is computed (prompt log-probabilities)
  bool ignore_eos = false;
  std::vector<TokenId> stop_token_ids;  // eos ids included by the api
  int32_t min_tokens = 0;               // no stop token is drawn before the output has this many tokens
  int32_t prompt_logprobs = -1;  // as in OpenedSequence; >= 0: no prompt page is taken from the prefix cache
  std::string cache_salt;        // part of the prefix cache's key
  std::optional<model::Constraint> constraint;  // of the output; compiled before the request is submitted
  int64_t priority = 0;                         // the smaller number is served first
};

// An upper bound on the bytes of the request's constraint in a plan; 0: it has none.
inline int64_t ConstraintBytes(const Request& request) {
  if (!request.constraint) return 0;
  const model::Constraint& constraint = *request.constraint;
  return model::MostConstraintBytes(
      std::ssize(constraint.spec.text) + std::ssize(constraint.prefix),
      std::ssize(constraint.triggers) + std::ssize(constraint.not_while_thinking));
}

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };

// The outcome of one step for one sequence, or one token of it. The tokens of one step come in order.
struct TokenEvent {
  SequenceId sequence = 0;
  bool has_token = false;
  TokenId token = 0;
  model::PositionLogprobs logprobs;  // if asked for
  // Of the prompt tokens in this step's chunk, in order.
  std::vector<model::PositionLogprobs> prompt_logprobs;
  FinishReason finish = FinishReason::kNone;  // not kNone: this is the sequence's last event
  absl::Status error;                         // with kError
  bool non_finite = false;                    // with kError: the logits were not finite
  int32_t cached_tokens = 0;                  // prompt tokens found in the prefix cache
  int32_t preemptions = 0;                    // of the sequence so far
  // Of the sequence so far: tokens that were drafts, and drafts that became no token.
  int64_t accepted_drafts = 0, rejected_drafts = 0;
  // The start of its first step; InfiniteFuture: no step yet.
  absl::Time first_scheduled = absl::InfiniteFuture();
};

// Receives a sequence's events, in order. Called on the step loop's thread; must not block.
using EventSink = std::function<void(TokenEvent)>;

}  // namespace deeprack::coordinator
