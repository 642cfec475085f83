#include "coordinator/dispatch/join_step_results.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status_macros.h"

namespace deeprack::coordinator {
namespace {

// The first token id of an answer that is outside the vocabulary.
std::optional<TokenId> UnknownToken(const model::SequenceResult& answer, int32_t vocab_size) {
  std::optional<TokenId> unknown;
  const auto look = [&](TokenId token) {
    if (token < 0 || token >= vocab_size) unknown = unknown.value_or(token);
  };
  for (const TokenId token : answer.tokens) look(token);
  for (const auto* positions : {&answer.logprobs, &answer.prompt_logprobs}) {
    for (const model::PositionLogprobs& position : *positions) {
      look(position.chosen.token);
      for (const model::TokenLogprob& likely : position.top) look(likely.token);
    }
  }
  if (answer.non_finite) look(answer.non_finite->token);
  return unknown;
}

}  // namespace

absl::StatusOr<model::StepResult> JoinStepResults(const model::StepHeader& step,
                                                  std::vector<model::RankResult> by_rank,
                                                  const model::Layout& layout, int32_t vocab_size) {
  model::StepResult joined{.epoch = step.epoch, .step = step.step};
  joined.groups.resize(layout.dp);
  for (Rank rank = 0; rank < std::ssize(by_rank); ++rank) {
    model::RankResult& result = by_rank[rank];
    if (result.epoch != step.epoch || result.step != step.step) {
      return absl::InternalError(absl::StrCat("rank ", rank, " answered step ", result.step, " of epoch ",
                                              result.epoch, " when asked for step ", step.step, " of epoch ",
                                              step.epoch));
    }
    joined.rank_timings.push_back(result.timings);
    const model::RankCoordinates at = CoordinatesOf(layout, rank);
    const bool draws = at.tp_rank == 0 && at.pp_rank == layout.pp - 1;
    if (!draws && !result.sequences.empty()) {
      return absl::InternalError(absl::StrCat("rank ", rank, " answered step ", step.step, " for sequence ",
                                              result.sequences.front().sequence,
                                              ", for which another rank draws"));
    }
    for (model::SequenceResult& sequence : result.sequences) {
      if (const std::optional<TokenId> token = UnknownToken(sequence, vocab_size)) {
        return absl::InternalError(absl::StrCat("rank ", rank, " answered step ", step.step, " for sequence ",
                                                sequence.sequence, " with token ", *token,
                                                ", which is not in the vocabulary of ", vocab_size));
      }
      if (sequence.non_finite) sequence.non_finite->rank = rank;
    }
    if (draws) joined.groups[at.dp_rank] = std::move(result.sequences);
  }
  return joined;
}

}  // namespace deeprack::coordinator
