#include "coordinator/dispatch/join_step_results.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status_macros.h"

namespace deeprack::coordinator {
namespace {

// A rank's result comes from another machine. The result is compared with the plan before it is used.
class AnswerChecker {
 public:
  AnswerChecker(size_t rank, StepId step, int32_t vocab_size)
      : rank_(rank), step_(step), vocab_size_(vocab_size) {}

  absl::Status Check(const model::SequencePlan& plan, const model::SequenceResult& answer) const {
    if (answer.non_finite) return CheckNonFinite(plan, answer);
    if (answer.sampled) DR_RETURN_IF_ERROR(CheckToken(plan, "sampled token", answer.token));
    DR_RETURN_IF_ERROR(CheckLogprobs(plan, answer.logprobs, plan.sampling.top_logprobs));
    if (answer.prompt_logprobs.size() > plan.token_ids.size()) {
      return Wrong(plan, answer.prompt_logprobs.size(), " prompt log-probabilities for a chunk of ",
                   plan.token_ids.size(), " tokens");
    }
    for (const model::PositionLogprobs& position : answer.prompt_logprobs) {
      DR_RETURN_IF_ERROR(CheckLogprobs(plan, position, plan.prompt_logprobs));
    }
    return absl::OkStatus();
  }

 private:
  template <class... Parts>
  absl::Status Wrong(const model::SequencePlan& plan, const Parts&... parts) const {
    return absl::InternalError(absl::StrCat("rank ", rank_, " answered step ", step_, " for sequence ",
                                            plan.sequence, " with ", parts...));
  }

  absl::Status CheckToken(const model::SequencePlan& plan, const char* what, TokenId token) const {
    if (token >= 0 && token < vocab_size_) return absl::OkStatus();
    return Wrong(plan, what, " ", token, ", which is not in the vocabulary of ", vocab_size_);
  }

  absl::Status CheckNonFinite(const model::SequencePlan& plan, const model::SequenceResult& answer) const {
    const int64_t place = int64_t{answer.non_finite->position} - plan.num_computed;
    if (place < 0 || place >= std::ssize(plan.token_ids)) {
      return Wrong(plan, "a row that is not finite at position ", answer.non_finite->position,
                   ", which is not in the chunk");
    }
    if (answer.sampled || !answer.prompt_logprobs.empty()) {
      return Wrong(plan, "a token or log-probabilities from a row that is not finite");
    }
    return CheckToken(plan, "an infinite or NaN logit of token", answer.non_finite->token);
  }

  absl::Status CheckLogprobs(const model::SequencePlan& plan, const model::PositionLogprobs& logprobs,
                             int32_t asked) const {
    if (std::ssize(logprobs.top) > std::max(asked, 0)) {
      return Wrong(plan, logprobs.top.size(), " log-probabilities at one position; ", std::max(asked, 0),
                   " were asked for");
    }
    DR_RETURN_IF_ERROR(CheckToken(plan, "log-probability of token", logprobs.chosen.token));
    for (const model::TokenLogprob& likely : logprobs.top) {
      DR_RETURN_IF_ERROR(CheckToken(plan, "log-probability of token", likely.token));
    }
    return absl::OkStatus();
  }

  const size_t rank_;
  const StepId step_;
  const int32_t vocab_size_;
};

struct Answer {
  size_t rank = 0;
  model::SequenceResult* result = nullptr;
};

// All ranks check the same plan in the same way. A rank that does not refuse the plan waits for the others in
// an exchange, so different answers end the epoch.
absl::StatusOr<model::StepResult> JoinRefusals(const model::StepPlan& plan,
                                               const std::vector<model::StepResult>& by_rank) {
  const auto refused = std::find_if(by_rank.begin(), by_rank.end(), [](const model::StepResult& result) {
    return result.refusal.has_value();
  });
  const model::Refusal& refusal = *refused->refusal;
  model::StepResult joined{.epoch = plan.epoch, .step = plan.step, .refusal = refusal};
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    const model::StepResult& result = by_rank[rank];
    if (result.refusal != refusal || !result.sequences.empty()) {
      return absl::InternalError(absl::StrCat(
          "rank ", refused - by_rank.begin(), " refused step ", plan.step, " (", refusal.reason,
          "), but rank ", rank, " ",
          result.refusal ? absl::StrCat("refused it for ", result.refusal->reason) : "executed it"));
    }
    joined.rank_timings.push_back(result.timings);
  }
  return joined;
}

}  // namespace

absl::StatusOr<model::StepResult> JoinStepResults(const model::StepPlan& plan,
                                                  std::vector<model::StepResult> by_rank,
                                                  int32_t vocab_size) {
  model::StepResult joined{.epoch = plan.epoch, .step = plan.step};
  std::unordered_map<SequenceId, Answer> answers;
  bool refused = false;
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    model::StepResult& result = by_rank[rank];
    if (result.epoch != plan.epoch || result.step != plan.step) {
      return absl::InternalError(absl::StrCat("rank ", rank, " answered step ", result.step, " of epoch ",
                                              result.epoch, " when asked for step ", plan.step, " of epoch ",
                                              plan.epoch));
    }
    refused |= result.refusal.has_value();
    joined.rank_timings.push_back(result.timings);
    for (model::SequenceResult& sequence : result.sequences) {
      if (!answers.emplace(sequence.sequence, Answer{rank, &sequence}).second) {
        return absl::InternalError(absl::StrCat("rank ", rank, " answered for sequence ", sequence.sequence,
                                                ", for which another answer is there"));
      }
    }
  }
  if (refused) return JoinRefusals(plan, by_rank);
  joined.sequences.reserve(plan.sequences.size());
  for (const model::SequencePlan& sequence : plan.sequences) {
    const auto answer = answers.find(sequence.sequence);
    if (answer == answers.end()) {
      return absl::InternalError(
          absl::StrCat("no rank answered for sequence ", sequence.sequence, " of step ", plan.step));
    }
    const auto [rank, result] = answer->second;
    DR_RETURN_IF_ERROR(AnswerChecker(rank, plan.step, vocab_size).Check(sequence, *result));
    if (result->non_finite) result->non_finite->rank = static_cast<Rank>(rank);
    joined.sequences.push_back(std::move(*result));
    answers.erase(answer);
  }
  if (!answers.empty()) {
    const auto& [sequence, answer] = *answers.begin();
    return absl::InternalError(absl::StrCat("rank ", answer.rank, " answered for sequence ", sequence,
                                            ", which is not in step ", plan.step));
  }
  return joined;
}

}  // namespace deeprack::coordinator
