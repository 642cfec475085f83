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

TEST(GraphBucketTest, OnlyStepsOfDecodesHaveOne) {
  GroupStep step = {.rows_of_group = {3}, .decodes_only = true};
  EXPECT_EQ(GraphBucketOf(step, 8), 4);
  // The rows of the dp group with the most rows.
  step.rows_of_group = {1, 2};
  EXPECT_EQ(GraphBucketOf(step, 8), 2);
  EXPECT_EQ(GraphBucketOf(step, 1), 0);
  step.rows_of_group = {0, 0};
  EXPECT_EQ(GraphBucketOf(step, 8), 0);
  step = {.rows_of_group = {3}, .decodes_only = false};
  EXPECT_EQ(GraphBucketOf(step, 8), 0);
}

}  // namespace
}  // namespace deeprack::worker
