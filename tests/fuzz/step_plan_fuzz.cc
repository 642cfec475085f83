// Fuzzes the steps of an epoch from an untrusted sender, through the worker's conversion and the table of
// sequences. The input is a list of StepPlans. A step that the table resolves names only tokens, pages and
// positions that the engine has.
#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "base/check.h"
#include "base/checked.h"
#include "proto/cluster.pb.h"
#include "worker/rpc/conversions.h"
#include "worker/sequences/sequence_table.h"

namespace {

using namespace deeprack;

constexpr int64_t kVocabulary = 300, kBlocks = 8;
constexpr model::StepLimits kLimits = {.max_step_tokens = 96, .max_sequences = 4, .max_context = 500};

void CheckDraws(const worker::StepSequence& sequence) {
  for (int32_t draw = 0; draw < sequence.draws(); ++draw) {
    const auto& biases = sequence.SamplingOf(draw).logit_bias;
    for (const auto& [token, bias] : biases) DR_CHECK(token >= 0 && token < kVocabulary);
    DR_CHECK(std::ssize(biases) <= kVocabulary);
  }
  DR_CHECK(std::ssize(sequence.token_counts) <= kVocabulary);
}

void CheckResolved(const worker::GroupStep& step) {
  DR_CHECK(step.rows_of_group.size() == 2 && std::ssize(step.sequences) <= kLimits.max_sequences);
  int64_t rows = 0;
  std::map<BlockId, int> in_tables;
  std::set<BlockId> written;
  for (const worker::StepSequence& sequence : step.sequences) {
    rows += sequence.rows;
    DR_CHECK(sequence.rows >= 1 && sequence.rows <= kLimits.max_context);
    DR_CHECK(!step.decodes_only || sequence.rows == 1);
    for (const BlockId block : sequence.block_table) {
      DR_CHECK(block >= 0 && block < kBlocks);
      ++in_tables[block];
    }
    if (sequence.padding) continue;
    DR_CHECK(sequence.refused.empty());
    const int64_t end =
        int64_t{sequence.num_computed} + sequence.rows + std::max(0, sequence.next_drafts - 1);
    DR_CHECK(sequence.num_computed >= 0 && end <= kLimits.max_context);
    DR_CHECK(std::ssize(sequence.token_ids) == sequence.rows && sequence.prompt_size >= 1);
    DR_CHECK(std::ssize(sequence.block_table) >= CeilDiv(end, kPageTokens));
    for (const TokenId token : sequence.token_ids) DR_CHECK(token >= 0 && token < kVocabulary);
    DR_CHECK(sequence.next_token >= -1 && sequence.next_token < kVocabulary);
    DR_CHECK(sequence.drafts >= 0 && sequence.drafts < sequence.rows);
    DR_CHECK(sequence.sample || (sequence.drafts == 0 && sequence.next_drafts == 0));
    DR_CHECK(sequence.prompt_logprobs < 0 || sequence.num_computed + 1 < sequence.prompt_size);
    for (int64_t page = sequence.num_computed / kPageTokens; page < CeilDiv(end, kPageTokens); ++page)
      written.insert(sequence.block_table[static_cast<size_t>(page)]);
    CheckDraws(sequence);
  }
  DR_CHECK(rows == step.rows_of_group[1] && rows <= kLimits.max_step_tokens);
  // A page that the step writes is in one place of one table.
  for (const BlockId block : written) DR_CHECK(in_tables[block] == 1);
}

// What the ranks might draw. Every draft that is a multiple of 3 proves right.
worker::StepOutcomes Outcomes(const worker::GroupStep& step) {
  worker::StepOutcomes outcomes;
  for (const worker::StepSequence& sequence : step.sequences) {
    auto token = static_cast<TokenId>((sequence.num_computed * 31 + sequence.rows) % kVocabulary);
    if (!sequence.sample || token % 17 == 3) token = sequence.sample ? worker::kNotFinite : worker::kNoToken;
    for (int32_t draw = 0; draw < sequence.outcomes(); ++draw) {
      const TokenId draft = draw < sequence.drafts ? sequence.DraftsBefore(draw + 1).back() : -1;
      if (token >= 0 && draft >= 0 && draft % 3 == 0) token = draft;
      outcomes.tokens.push_back(token);
      if (token != draft || token < 0) token = worker::kNoToken;
    }
    for (int32_t d = 0; d < sequence.next_drafts; ++d)
      outcomes.drafts.push_back((sequence.num_computed + 2 * d) % kVocabulary);
  }
  return outcomes;
}

}  // namespace

// Each plan is preceded by its length in 2 bytes, the lower one first.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  worker::SequenceTable table({.epoch = 1,
                               .dp = 2,
                               .dp_rank = 1,
                               .vocab_size = kVocabulary,
                               .blocks = kBlocks,
                               .most_drafts = 3,
                               .limits = kLimits});
  for (size_t at = 0; at + 2 <= size;) {
    const size_t length = std::min<size_t>(data[at] | data[at + 1] << 8, size - at - 2);
    cluster::StepPlan message;
    if (!message.ParseFromArray(data + at + 2, static_cast<int>(length))) return 0;
    at += 2 + length;
    auto plan = worker::RankStepFromProto(message);
    if (!plan.ok()) return 0;
    const auto step = table.Begin(*std::move(plan));
    if (!step.ok()) {
      DR_CHECK(!step.status().message().empty());
      return 0;
    }
    DR_CHECK(message.epoch() == 1);
    CheckResolved(*step);
    DR_CHECK(table.Accept(*step, Outcomes(*step)).ok());
  }
  return 0;
}
