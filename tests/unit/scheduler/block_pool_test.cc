#include "coordinator/blocks/block_pool.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <set>

#include "coordinator/blocks/block_table.h"

namespace deeprack::coordinator {
namespace {

std::vector<TokenId> Tokens(int32_t count, TokenId first = 0) {
  std::vector<TokenId> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

TEST(BlockPool, GivesEveryBlockOnceAndThenNone) {
  BlockPool pool(5);
  std::set<BlockId> seen;
  for (int i = 0; i < 5; ++i) seen.insert(pool.Allocate().value());
  EXPECT_EQ(seen, (std::set<BlockId>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.Allocate(), std::nullopt);
  EXPECT_EQ(pool.held(), 5);
  pool.Release(3);
  EXPECT_EQ(pool.Allocate(), 3);
}

TEST(BlockPool, KeepsABlockUntilItsLastHolderLetsGo) {
  BlockPool pool(1);
  const BlockId block = pool.Allocate().value();
  pool.Reference(block);
  pool.Release(block);
  EXPECT_EQ(pool.available(), 0);
  pool.Release(block);
  EXPECT_EQ(pool.available(), 1);
}

TEST(BlockPool, FindsAPublishedPageAfterItsHolderIsGone) {
  BlockPool pool(4);
  const auto tokens = Tokens(2 * kPageTokens);
  const BlockId a = pool.Allocate().value();
  const BlockId b = pool.Allocate().value();
  const auto first = pool.Publish(a, "", kRootContent, absl::MakeSpan(tokens).first(kPageTokens));
  const auto second = pool.Publish(b, "", first.content, absl::MakeSpan(tokens).subspan(kPageTokens));
  pool.Release(second.block);
  pool.Release(first.block);
  EXPECT_EQ(pool.available(), 4);

  const auto found = pool.Lookup("", tokens);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].block, a);
  EXPECT_EQ(found[1].block, b);
  EXPECT_EQ(pool.Lookup("", absl::MakeSpan(tokens).first(2 * kPageTokens - 1)).size(), 1u);
}

TEST(BlockPool, AForgottenPageIsFoundNoMoreNorThePagesAfterIt) {
  BlockPool pool(4);
  const auto tokens = Tokens(2 * kPageTokens);
  const auto page = [&](int i) {
    return absl::MakeSpan(tokens).subspan(size_t{kPageTokens} * i, kPageTokens);
  };
  const auto first = pool.Publish(pool.Allocate().value(), "", kRootContent, page(0));
  const auto second = pool.Publish(pool.Allocate().value(), "", first.content, page(1));
  pool.Reference(first.block);  // another holder
  pool.Forget(first.block);
  pool.Forget(first.block);  // again: nothing is left to forget
  EXPECT_TRUE(pool.Lookup("", tokens).empty());
  pool.Release(second.block);
  pool.Release(first.block);
  EXPECT_EQ(pool.references(first.block), 1);
  pool.Release(first.block);
  EXPECT_EQ(pool.available(), 4);
  // The same content may be published anew. The old second page stays unknown.
  const auto anew = pool.Publish(pool.Allocate().value(), "", kRootContent, page(0));
  EXPECT_NE(anew.content, first.content);
  EXPECT_EQ(pool.Lookup("", tokens).size(), 1u);
}

TEST(BlockPool, TellsHistoriesApart) {
  BlockPool pool(4);
  const auto tokens = Tokens(kPageTokens);
  const auto page = pool.Publish(pool.Allocate().value(), "tenant", kRootContent, tokens);
  EXPECT_EQ(pool.Lookup("tenant", tokens).size(), 1u);
  EXPECT_TRUE(pool.Lookup("", tokens).empty()) << "another salt";
  EXPECT_TRUE(pool.Lookup("tenant", Tokens(kPageTokens, 1)).empty()) << "other tokens";
  // The same 64 tokens have another content identity as the second page of a history than as its first page.
  const auto next = pool.Publish(pool.Allocate().value(), "tenant", page.content, tokens);
  EXPECT_NE(next.content, page.content);
}

TEST(BlockPool, MovesAReferenceToTheBlockAlreadyKnown) {
  BlockPool pool(2);
  const auto tokens = Tokens(kPageTokens);
  const auto first = pool.Publish(pool.Allocate().value(), "", kRootContent, tokens);
  const BlockId duplicate = pool.Allocate().value();
  const auto second = pool.Publish(duplicate, "", kRootContent, tokens);
  EXPECT_EQ(second.block, first.block);
  EXPECT_EQ(second.content, first.content);
  EXPECT_EQ(pool.references(first.block), 2);
  EXPECT_EQ(pool.Allocate(), duplicate) << "the duplicate is free again";
}

TEST(BlockPool, EvictsTheLeastRecentlyUsedPageAndForgetsIt) {
  BlockPool pool(2);
  const auto old_tokens = Tokens(kPageTokens), new_tokens = Tokens(kPageTokens, 100);
  const auto older = pool.Publish(pool.Allocate().value(), "", kRootContent, old_tokens);
  const auto newer = pool.Publish(pool.Allocate().value(), "", kRootContent, new_tokens);
  pool.Release(newer.block);
  pool.Release(older.block);
  pool.Reference(newer.block);  // newer is used once more, so older is now the least recently used
  pool.Release(newer.block);
  EXPECT_EQ(pool.Allocate(), older.block);
  EXPECT_TRUE(pool.Lookup("", old_tokens).empty());
  EXPECT_EQ(pool.Lookup("", new_tokens).size(), 1u);
}

TEST(BlockPool, PrefersAFreeBlockToACachedOne) {
  BlockPool pool(2);
  const auto tokens = Tokens(kPageTokens);
  const auto page = pool.Publish(pool.Allocate().value(), "", kRootContent, tokens);
  pool.Release(page.block);
  EXPECT_NE(pool.Allocate(), page.block);
  EXPECT_EQ(pool.Lookup("", tokens).size(), 1u);
}

TEST(BlockPoolDeathTest, ReleasingTwiceIsABug) {
  BlockPool pool(1);
  const BlockId block = pool.Allocate().value();
  pool.Release(block);
  EXPECT_DEATH(pool.Release(block), "references > 0");
}

// Sequences of three texts come, grow, end, and are forgotten in a pool of 12 blocks. After each change, the
// prefix that is kept up to date is the one that a new lookup finds.
TEST(BlockPool, APrefixKeptUpToDateIsTheOneALookupFinds) {
  std::mt19937_64 random(1);
  int64_t hashed = 0, plain = 0, found = 0;
  for (int run = 0; run < 20; ++run) {
    BlockPool pool(12);
    const std::vector<TokenId> texts[3] = {Tokens(6 * kPageTokens), Tokens(6 * kPageTokens, 5000),
                                           [] {  // begins as the first text does
                                             auto text = Tokens(6 * kPageTokens);
                                             text[2 * kPageTokens + 7] = 9;
                                             return text;
                                           }()};
    BlockPool::Prefix kept[3];
    std::vector<BlockTable> tables(4);
    std::vector<int> text_of(4, 0), pages_of(4, -1);  // -1: no sequence
    for (int change = 0; change < 300; ++change) {
      const size_t i = random() % tables.size();
      const std::vector<TokenId>& text = texts[text_of[i]];
      if (pages_of[i] < 0) {
        text_of[i] = static_cast<int>(random() % 3);
        tables[i] = BlockTable(&pool, "");
        tables[i].Adopt(pool.Lookup("", texts[text_of[i]]));
        pages_of[i] = static_cast<int>(tables[i].blocks().size());
      } else if (random() % 3 == 0 || pages_of[i] == 6) {
        if (random() % 4 == 0) tables[i].Forget();
        tables[i].Clear();
        pages_of[i] = -1;
      } else if (tables[i].Reserve(int64_t{pages_of[i] + 1} * kPageTokens)) {
        ++pages_of[i];
        tables[i].Publish(absl::MakeSpan(text).first(size_t(pages_of[i]) * kPageTokens));
      }
      for (int t = 0; t < 3; ++t) {
        const std::vector<BlockPool::Page> pages = pool.Lookup("", texts[t]);
        pool.Update("", texts[t], kept[t]);
        ASSERT_EQ(kept[t].pages.size(), pages.size()) << "run " << run << ", change " << change;
        for (size_t p = 0; p < pages.size(); ++p) {
          ASSERT_EQ(kept[t].pages[p].block, pages[p].block);
          ASSERT_EQ(kept[t].pages[p].content, pages[p].content);
        }
        plain += std::min<int64_t>(std::ssize(pages) + 1, 6);
        found += std::ssize(pages);
      }
    }
    for (const BlockPool::Prefix& prefix : kept) hashed += prefix.pages_hashed;
  }
  EXPECT_GT(found, 10'000);
  EXPECT_LT(hashed, plain / 2);
}

}  // namespace
}  // namespace deeprack::coordinator
