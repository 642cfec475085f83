// Fuzzes a StepPlan from an untrusted sender, through the worker's conversion and the engine's check. A plan
// that passes names only tokens, pages and positions that the engine has.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/checked.h"
#include "proto/cluster.pb.h"
#include "worker/engine/plan_check.h"
#include "worker/rpc/conversions.h"

namespace {

using namespace deeprack;

constexpr int64_t kVocabulary = 300, kBlocks = 8;
constexpr model::StepLimits kLimits = {.max_step_tokens = 96, .max_sequences = 4, .max_context = 500};
constexpr model::Layout kLayout = {.dp = 2};

void CheckAccepted(const model::StepPlan& plan) {
  std::vector<int64_t> tokens(kLayout.dp), sequences(kLayout.dp);
  for (const model::SequencePlan& sequence : plan.sequences) {
    DR_CHECK(sequence.dp_rank >= 0 && sequence.dp_rank < kLayout.dp);
    tokens[sequence.dp_rank] += std::ssize(sequence.token_ids);
    ++sequences[sequence.dp_rank];
    for (const TokenId token : sequence.token_ids) DR_CHECK(token >= 0 && token < kVocabulary);
    for (const BlockId block : sequence.block_table) DR_CHECK(block >= 0 && block < kBlocks);
    const int64_t end = int64_t{sequence.num_computed} + std::ssize(sequence.token_ids);
    DR_CHECK(sequence.num_computed >= 0 && end <= kLimits.max_context);
    DR_CHECK(std::ssize(sequence.block_table) >= CeilDiv(end, kPageTokens));
    for (const auto& [token, bias] : sequence.sampling.logit_bias) {
      DR_CHECK(token >= 0 && token < kVocabulary);
    }
  }
  for (int32_t group = 0; group < kLayout.dp; ++group) {
    DR_CHECK(tokens[group] <= kLimits.max_step_tokens && sequences[group] <= kLimits.max_sequences);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cluster::StepPlan message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  const model::StepPlan plan = worker::StepPlanFromProto(message);
  worker::PlanChecker checker(kVocabulary, kLayout, /*epoch=*/1, kLimits, kBlocks);
  DR_CHECK(checker.CheckEpoch(plan).ok() == (plan.epoch == 1));
  const std::optional<model::Refusal> refusal = checker.Check(plan);
  if (!refusal) {
    CheckAccepted(plan);
  } else {
    DR_CHECK(!refusal->reason.empty());
    DR_CHECK(std::any_of(plan.sequences.begin(), plan.sequences.end(),
                         [&](const auto& sequence) { return sequence.sequence == refusal->sequence; }));
  }
  DR_CHECK(checker.Check(plan) == refusal);  // a check does not change the checker
  return 0;
}
