#include "coordinator/blocks/block_table.h"

#include <gtest/gtest.h>

#include <numeric>

namespace deeprack::coordinator {
namespace {

std::vector<TokenId> Tokens(int32_t count) {
  std::vector<TokenId> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 7);
  return tokens;
}

TEST(BlockTable, ReservesBlocksForPositionsOrNothing) {
  BlockPool pool(3);
  BlockTable table(&pool, "");
  ASSERT_TRUE(table.Reserve(1));
  EXPECT_EQ(table.blocks().size(), 1u);
  ASSERT_TRUE(table.Reserve(kPageTokens));
  EXPECT_EQ(table.blocks().size(), 1u);
  ASSERT_TRUE(table.Reserve(kPageTokens + 1));
  EXPECT_EQ(table.blocks().size(), 2u);
  EXPECT_FALSE(table.Reserve(3 * kPageTokens + 1));
  EXPECT_EQ(table.blocks().size(), 2u);
  EXPECT_EQ(pool.available(), 1);
}

TEST(BlockTable, GivesItsBlocksBackWhenItGoes) {
  BlockPool pool(3);
  {
    BlockTable table(&pool, "");
    EXPECT_TRUE(table.Reserve(3 * kPageTokens));
  }
  EXPECT_EQ(pool.available(), 3);
}

TEST(BlockTable, PublishesFullPagesAsTheyAreComputed) {
  BlockPool pool(4);
  const auto tokens = Tokens(3 * kPageTokens);
  const auto history = absl::MakeConstSpan(tokens);
  BlockTable table(&pool, "salt");
  ASSERT_TRUE(table.Reserve(3 * kPageTokens));
  table.Publish(history.first(kPageTokens - 1));
  EXPECT_EQ(pool.Lookup("salt", history).size(), 0u);
  table.Publish(history.first(kPageTokens));
  EXPECT_EQ(pool.Lookup("salt", history).size(), 1u);
  table.Publish(history);
  EXPECT_EQ(pool.Lookup("salt", history).size(), 3u);
}

TEST(BlockTable, ContinuesBehindAnAdoptedPrefix) {
  BlockPool pool(4);
  const auto tokens = Tokens(2 * kPageTokens);
  const auto history = absl::MakeConstSpan(tokens);
  BlockTable first(&pool, "");
  ASSERT_TRUE(first.Reserve(kPageTokens));
  first.Publish(history.first(kPageTokens));
  BlockTable second(&pool, "");
  second.Adopt(pool.Lookup("", history));
  ASSERT_TRUE(second.Reserve(2 * kPageTokens));
  EXPECT_EQ(second.blocks()[0], first.blocks()[0]);
  second.Publish(history);
  EXPECT_EQ(pool.Lookup("", history).size(), 2u);
  EXPECT_EQ(pool.held(), 2);
}

TEST(BlockTable, TwoThatComputedTheSameEndUpSharing) {
  BlockPool pool(4);
  const auto tokens = Tokens(2 * kPageTokens);
  BlockTable first(&pool, ""), second(&pool, "");
  ASSERT_TRUE(first.Reserve(2 * kPageTokens));
  ASSERT_TRUE(second.Reserve(2 * kPageTokens));
  first.Publish(tokens);
  second.Publish(tokens);
  EXPECT_EQ(first.blocks(), second.blocks());
  EXPECT_EQ(pool.available(), 2);
}

TEST(BlockTable, EvictionTakesTheEndOfAChainFirst) {
  BlockPool pool(3);
  const auto tokens = Tokens(3 * kPageTokens);
  {
    BlockTable table(&pool, "");
    ASSERT_TRUE(table.Reserve(3 * kPageTokens));
    table.Publish(tokens);
  }
  ASSERT_TRUE(pool.Allocate().has_value());
  EXPECT_EQ(pool.Lookup("", tokens).size(), 2u);
}

}  // namespace
}  // namespace deeprack::coordinator
