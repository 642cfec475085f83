#include "worker/engine/decode_graphs.h"

#include <gtest/gtest.h>

namespace deeprack::worker {
namespace {

TEST(GraphBucketTest, IsTheNextSizeWorthARecording) {
  const int64_t expected[][2] = {{1, 1},   {2, 2},   {3, 4},   {5, 8},   {9, 12},   {12, 12},   {13, 16},
                                 {17, 24}, {25, 32}, {33, 48}, {49, 64}, {97, 128}, {129, 192}, {193, 256}};
  for (const auto& [rows, bucket] : expected) EXPECT_EQ(GraphBucket(rows, 256), bucket) << rows;
}

TEST(GraphBucketTest, PadsByLessThanTwice) {
  for (int64_t rows = 1; rows <= 1000; ++rows) {
    const int64_t bucket = GraphBucket(rows, 1 << 20);
    EXPECT_GE(bucket, rows);
    EXPECT_LT(bucket, 2 * rows);
    EXPECT_EQ(GraphBucket(bucket, 1 << 20), bucket);
  }
}

TEST(GraphBucketTest, NothingAboveTheMost) {
  EXPECT_EQ(GraphBucket(33, 48), 48);
  EXPECT_EQ(GraphBucket(33, 47), 0);
  EXPECT_EQ(GraphBucket(0, 47), 0);
}

TEST(GraphBucketTest, OnlyStepsOfPlainDecodesHaveOne) {
  model::StepPlan plan;
  plan.sequences.resize(3);
  for (model::SequencePlan& sequence : plan.sequences) {
    sequence.prompt_size = 5;
    sequence.num_computed = 5;
    sequence.token_ids = {1};
    sequence.sample = true;
  }
  EXPECT_EQ(GraphBucketOf(plan, 1, 8), 4);
  // The rows of the dp group with the most rows.
  model::StepPlan apart = plan;
  apart.sequences[1].dp_rank = 1;
  EXPECT_EQ(GraphBucketOf(apart, 2, 8), 2);
  EXPECT_EQ(GraphBucketOf(apart, 2, 1), 0);
  model::StepPlan prefill = plan;
  prefill.sequences[1].token_ids.push_back(2);
  model::StepPlan silent = plan;
  silent.sequences[2].sample = false;
  model::StepPlan scored = plan;
  scored.sequences[0].prompt_logprobs = 0;
  model::StepPlan prompts_end = plan;
  prompts_end.sequences[1].num_computed = 4;
  for (const model::StepPlan& other : {prefill, prompts_end, silent, scored, model::StepPlan{}}) {
    EXPECT_EQ(GraphBucketOf(other, 1, 8), 0);
  }
}

}  // namespace
}  // namespace deeprack::worker
