#include "bench/engine/token_streams.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <vector>

#include "worker/sequences/sequence_table.h"

namespace deeprack::bench {
namespace {

TEST(TokenStreams, PrefillCutsPromptsIntoSteps) {
  TokenStreams streams(3, /*prompt=*/50, /*length=*/130, /*vocab_size=*/10, 1);
  std::vector<std::vector<int32_t>> chunks;
  size_t opened = 0;
  for (model::RankStep step = streams.NextPrefill(64); !step.group.rows.empty();
       step = streams.NextPrefill(64)) {
    std::vector<int32_t> sizes;
    for (const model::SequenceRows& rows : step.group.rows) sizes.push_back(rows.rows);
    chunks.push_back(sizes);
    EXPECT_EQ(step.header.step, chunks.size());
    EXPECT_EQ(step.header.rows_of_group[0], std::accumulate(sizes.begin(), sizes.end(), 0));
    EXPECT_FALSE(step.header.decodes_only);
    for (const model::OpenedSequence& sequence : step.group.opened) {
      EXPECT_EQ(sequence.tokens.size(), 50u);
      EXPECT_EQ(sequence.end.max_size, 131);
    }
    opened += step.group.opened.size();
  }
  EXPECT_EQ(chunks, (std::vector<std::vector<int32_t>>{{50, 14}, {36, 28}, {22}}));
  EXPECT_EQ(opened, 3u);
}

// A rank's table takes the steps up to the last position.
TEST(TokenStreams, ATableTakesTheSteps) {
  TokenStreams streams(2, /*prompt=*/64, /*length=*/66, /*vocab_size=*/10, 1);
  worker::SequenceTable table({.vocab_size = 10,
                               .blocks = 4,
                               .limits = {.max_step_tokens = 1000, .max_sequences = 2, .max_context = 67}});
  std::set<BlockId> blocks;
  for (const TokenId drawn : {8, 9, 7}) {
    const auto step = table.Begin(drawn == 8 ? streams.NextPrefill(1000) : streams.NextDecode());
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_EQ(step->decodes_only, drawn != 8);
    ASSERT_EQ(step->sequences.size(), 2u);
    for (const worker::StepSequence& sequence : step->sequences) {
      EXPECT_TRUE(sequence.sample);
      EXPECT_EQ(sequence.sampling->temperature, 0);
      EXPECT_EQ(sequence.block_table.size(), 2u) << "pages for 66 positions";
      blocks.insert(sequence.block_table.begin(), sequence.block_table.end());
    }
    ASSERT_TRUE(table.Accept(*step, {.tokens = {drawn, drawn}, .drafts = {}}).ok());
  }
  EXPECT_EQ(blocks, (std::set<BlockId>{0, 1, 2, 3})) << "of its own each, from the first page on";
}

}  // namespace
}  // namespace deeprack::bench
