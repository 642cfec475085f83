#include "bench/engine/token_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace deeprack::bench {
namespace {

model::StepResult Sampled(const model::StepPlan& plan, TokenId token) {
  model::StepResult result;
  for (const model::SequencePlan& sequence : plan.sequences) {
    result.sequences.push_back({.sequence = sequence.sequence, .sampled = sequence.sample, .token = token});
  }
  return result;
}

TEST(TokenStreams, PrefillCutsPromptsIntoSteps) {
  TokenStreams streams(3, /*prompt=*/50, /*length=*/130, /*vocab_size=*/10, 1);
  std::vector<std::vector<size_t>> chunks;
  for (model::StepPlan plan = streams.NextPrefill(64); !plan.sequences.empty();
       plan = streams.NextPrefill(64)) {
    std::vector<size_t> sizes;
    for (const model::SequencePlan& sequence : plan.sequences) {
      sizes.push_back(sequence.token_ids.size());
      EXPECT_EQ(sequence.sample, sequence.num_computed + sequence.token_ids.size() == 50);
    }
    chunks.push_back(sizes);
    streams.Apply(Sampled(plan, 7));
  }
  EXPECT_EQ(chunks, (std::vector<std::vector<size_t>>{{50, 14}, {36, 28}, {22}}));
}

TEST(TokenStreams, DecodeContinuesWithWhatWasSampled) {
  TokenStreams streams(2, /*prompt=*/64, /*length=*/66, /*vocab_size=*/10, 1);
  streams.Apply(Sampled(streams.NextPrefill(1000), 8));
  std::set<BlockId> blocks;
  for (const TokenId expected : {8, 9}) {
    const model::StepPlan plan = streams.NextDecode();
    ASSERT_EQ(plan.sequences.size(), 2u);
    for (const model::SequencePlan& sequence : plan.sequences) {
      EXPECT_THAT(sequence.token_ids, ::testing::ElementsAre(expected));
      EXPECT_EQ(sequence.num_computed, 64 + expected - 8);
      EXPECT_EQ(sequence.block_table.size(), 2u) << "pages for 66 positions";
      blocks.insert(sequence.block_table.begin(), sequence.block_table.end());
    }
    streams.Apply(Sampled(plan, 9));
  }
  EXPECT_EQ(blocks, (std::set<BlockId>{0, 1, 2, 3})) << "of its own each, from the first page on";
}

}  // namespace
}  // namespace deeprack::bench
