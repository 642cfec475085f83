#include "worker/engine/plan_check.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "model/step/sampling_check.h"

namespace deeprack::worker {
namespace {

using Fault = std::optional<model::Refusal>;

template <class... Parts>
model::Refusal Wrong(const model::SequencePlan& sequence, const Parts&... parts) {
  return {.sequence = sequence.sequence,
          .reason = absl::StrCat("sequence ", sequence.sequence, ": ", parts...)};
}

Fault FaultOfSampling(const model::SequencePlan& sequence, int64_t vocab_size) {
  const model::SamplingParams& p = sequence.sampling;
  if (const absl::Status status = model::CheckSampling(p); !status.ok())
    return Wrong(sequence, status.message());
  if (p.top_logprobs > vocab_size) {
    return Wrong(sequence, "top_logprobs ", p.top_logprobs, " is not in [-1, ", vocab_size, "]");
  }
  for (const auto& [token, _] : p.logit_bias) {
    if (token < 0 || token >= vocab_size)
      return Wrong(sequence, "logit_bias of token ", token, " of ", vocab_size);
  }
  if (std::ssize(sequence.token_counts) > vocab_size) {
    return Wrong(sequence, sequence.token_counts.size(), " token counts for a vocabulary of ", vocab_size);
  }
  for (const model::TokenCount& count : sequence.token_counts) {
    if (count.token < 0 || count.token >= vocab_size || count.in_prompt < 0 || count.in_output < 0) {
      return Wrong(sequence, "token count ", count.token, " (", count.in_prompt, ", ", count.in_output,
                   ") is outside the vocabulary of ", vocab_size, " or negative");
    }
  }
  return std::nullopt;
}

}  // namespace

PlanChecker::PlanChecker(int64_t vocab_size, const model::Layout& layout, Epoch epoch,
                         const model::StepLimits& limits, int64_t blocks)
    : vocab_size_(vocab_size),
      dp_(layout.dp),
      epoch_(epoch),
      limits_(limits),
      blocks_(blocks),
      writer_(static_cast<size_t>(layout.dp * blocks), -1) {}

absl::Status PlanChecker::CheckEpoch(const model::StepPlan& plan) const {
  if (plan.epoch == epoch_) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("step ", plan.step, " is of epoch ", plan.epoch,
                                                    ", but this engine is of epoch ", epoch_));
}

Fault PlanChecker::Check(const model::StepPlan& plan) {
  absl::flat_hash_set<SequenceId> seen;
  std::vector<int64_t> tokens(static_cast<size_t>(dp_));
  std::vector<int64_t> sequences(static_cast<size_t>(dp_));
  for (const model::SequencePlan& sequence : plan.sequences) {
    if (Fault fault = FaultOfSequence(sequence)) return fault;
    if (!seen.insert(sequence.sequence).second) return Wrong(sequence, "is twice in step ", plan.step);
    const auto group = static_cast<size_t>(sequence.dp_rank);
    tokens[group] += static_cast<int64_t>(sequence.token_ids.size());
    sequences[group] += 1;
    if (tokens[group] > limits_.max_step_tokens || sequences[group] > limits_.max_sequences) {
      return Wrong(sequence, "with it dp group ", group, " has ", tokens[group], " tokens of ",
                   sequences[group], " sequences in step ", plan.step, "; a step takes ",
                   limits_.max_step_tokens, " of ", limits_.max_sequences);
    }
  }
  return FaultOfPages(plan);
}

Fault PlanChecker::FaultOfSequence(const model::SequencePlan& sequence) const {
  if (sequence.dp_rank < 0 || sequence.dp_rank >= dp_) {
    return Wrong(sequence, "dp_rank ", sequence.dp_rank, " of ", dp_);
  }
  if (sequence.token_ids.empty()) return Wrong(sequence, "has no tokens");
  if (sequence.prompt_size < 1 || sequence.prompt_size > limits_.max_context) {
    return Wrong(sequence, "prompt_size ", sequence.prompt_size, " is not in [1, ", limits_.max_context, "]");
  }
  if (sequence.num_computed < 0)
    return Wrong(sequence, "num_computed ", sequence.num_computed, " is negative");
  const int64_t end = int64_t{sequence.num_computed} + static_cast<int64_t>(sequence.token_ids.size());
  if (end > limits_.max_context) {
    return Wrong(sequence, "ends at position ", end, ", beyond the context of ", limits_.max_context);
  }
  for (const TokenId token : sequence.token_ids) {
    if (token < 0 || token >= vocab_size_) return Wrong(sequence, "token ", token, " of ", vocab_size_);
  }
  const int64_t pages = CeilDiv(end, kPageTokens);
  if (static_cast<int64_t>(sequence.block_table.size()) < pages) {
    return Wrong(sequence, "a block table of ", sequence.block_table.size(), " pages for ", end,
                 " positions, which take ", pages);
  }
  for (const BlockId block : sequence.block_table) {
    if (block < 0 || block >= blocks_) return Wrong(sequence, "block ", block, " of ", blocks_);
  }
  const int64_t most = std::min<int64_t>(vocab_size_, model::kMostTopLogprobs);
  if (sequence.prompt_logprobs < -1 || sequence.prompt_logprobs > most) {
    return Wrong(sequence, "prompt_logprobs ", sequence.prompt_logprobs, " is not in [-1, ", most, "]");
  }
  if (sequence.next_prompt_token < -1 || sequence.next_prompt_token >= vocab_size_) {
    return Wrong(sequence, "next_prompt_token ", sequence.next_prompt_token, " of ", vocab_size_);
  }
  return FaultOfSampling(sequence, vocab_size_);
}

Fault PlanChecker::FaultOfPages(const model::StepPlan& plan) {
  std::fill(writer_.begin(), writer_.end(), -1);
  const auto writer_of = [&](const model::SequencePlan& sequence, int64_t page) -> int32_t& {
    return writer_[static_cast<size_t>(sequence.dp_rank * blocks_ +
                                       sequence.block_table[static_cast<size_t>(page)])];
  };
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    const model::SequencePlan& sequence = plan.sequences[i];
    const int64_t end = sequence.num_computed + static_cast<int64_t>(sequence.token_ids.size());
    for (int64_t page = sequence.num_computed / kPageTokens; page < CeilDiv(end, kPageTokens); ++page) {
      int32_t& writer = writer_of(sequence, page);
      if (writer >= 0)
        return Wrong(sequence, "block ", sequence.block_table[page], " is written twice in this step");
      writer = static_cast<int32_t>(i);
    }
  }
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    const model::SequencePlan& sequence = plan.sequences[i];
    for (int64_t page = 0; page < sequence.num_computed / kPageTokens; ++page) {
      if (writer_of(sequence, page) >= 0) {
        return Wrong(sequence, "reads block ", sequence.block_table[page],
                     ", which this step writes for sequence ",
                     plan.sequences[writer_of(sequence, page)].sequence);
      }
    }
  }
  return std::nullopt;
}

}  // namespace deeprack::worker
