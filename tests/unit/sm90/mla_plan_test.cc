#include "kernels/cuda/sm90/mla_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace deeprack::kernels::sm90 {
namespace {

const BlockId* const kTable = reinterpret_cast<const BlockId*>(0x1000);

TEST(MlaPlanTest, TilesByHeadsAndRows) {
  const auto tile = [](int64_t heads, int64_t rows) {
    const MlaTile t = ChooseMlaTile(heads, rows);
    return std::make_pair(t.heads, t.tokens);
  };
  EXPECT_EQ(tile(128, 1), std::make_pair(64, 1));
  EXPECT_EQ(tile(64, 100), std::make_pair(64, 1));
  EXPECT_EQ(tile(16, 1), std::make_pair(16, 1));
  EXPECT_EQ(tile(16, 2), std::make_pair(16, 2));
  EXPECT_EQ(tile(16, 3), std::make_pair(16, 4));
  EXPECT_EQ(tile(16, 100), std::make_pair(16, 4));
  EXPECT_EQ(tile(8, 1), std::make_pair(8, 2));
  EXPECT_EQ(WhyNotMla(128, 512, 64), nullptr);
  EXPECT_STREQ(WhyNotMla(128, 256, 64), "its latent is not 512 + 64 wide");
  EXPECT_STREQ(WhyNotMla(40, 512, 64), "its heads are not 8, 16, 32 or a multiple of 64");
}

// Every (row, head) meets every page that it sees exactly once, its parts are those of its own position, and
// every part is merged once.
void CheckShares(int64_t heads, const std::vector<AttentionSequence>& sequences, int64_t shares) {
  const MlaPlan plan = PlanMla(heads, sequences.data(), static_cast<int64_t>(sequences.size()), shares);
  std::map<std::pair<int, int>, std::set<int>> pages;
  std::map<int, int> partials;
  int longest = 1 << 30;
  for (const MlaItem& item : plan.items) {
    ASSERT_LT(item.page_begin, item.page_end);
    EXPECT_LE(item.page_end - item.page_begin, longest);
    longest = item.page_end - item.page_begin;
    ASSERT_LE(item.tokens, plan.tile.tokens);
    if (item.partial >= 0) {
      ++partials[item.partial];
      EXPECT_LE(item.page_end - item.page_begin, item.part_pages);
    } else {
      EXPECT_EQ(item.page_begin, 0);
    }
    EXPECT_EQ(item.part_pages, PagesOfPart(item.visible));
    for (int t = 0; t < item.tokens; ++t) {
      EXPECT_EQ(item.page_begin % PagesOfPart(item.visible + t), 0);
      for (int h = 0; h < plan.tile.heads; ++h) {
        for (int p = item.page_begin; p < item.page_end; ++p) {
          EXPECT_TRUE(pages[std::make_pair(item.row + t, item.head_begin + h)].insert(p).second);
        }
      }
    }
  }
  for (const AttentionSequence& sequence : sequences) {
    for (int r = 0; r < sequence.rows; ++r) {
      for (int h = 0; h < heads; ++h) {
        const auto& seen = pages[std::make_pair(sequence.first_row + r, h)];
        EXPECT_GE(static_cast<int>(seen.size()), (sequence.first_position + r) / kPageTokens + 1);
        EXPECT_EQ(*seen.begin(), 0);
        EXPECT_EQ(*seen.rbegin(), static_cast<int>(seen.size()) - 1);
      }
    }
  }
  std::set<int> merged;
  for (const MlaMerge& merge : plan.merges) {
    EXPECT_GT(merge.parts, 1);
    for (int p = 0; p < merge.parts; ++p) EXPECT_TRUE(merged.insert(merge.first_partial + p).second);
  }
  EXPECT_EQ(merged.size(), partials.size());
  EXPECT_EQ(static_cast<int>(merged.size()), plan.partials);
  for (const auto& [partial, count] : partials) {
    EXPECT_EQ(count, 1);
    EXPECT_TRUE(merged.contains(partial));
  }
  int64_t rows = 0, context = 1;
  for (const AttentionSequence& s : sequences) {
    rows += s.rows;
    context = std::max<int64_t>(context, s.first_position + s.rows);
  }
  const MlaPlanBounds bounds = BoundMlaPlan(heads, rows, static_cast<int64_t>(sequences.size()), context);
  EXPECT_LE(static_cast<int64_t>(plan.items.size()), bounds.items);
  EXPECT_LE(static_cast<int64_t>(plan.merges.size()), bounds.merges);
  EXPECT_LE(plan.partials, bounds.partials);
}

void Check(int64_t heads, const std::vector<AttentionSequence>& sequences) {
  CheckShares(heads, sequences, kMlaShares);
  CheckShares(heads, sequences, 2);
}

TEST(MlaPlanTest, EveryPageOnce) {
  Check(16, {{0, 1, 0, kTable}, {1, 1, 511, kTable}, {2, 1, 512, kTable}, {3, 1, 40000, kTable}});
  Check(128, {{0, 1, 4095, kTable}, {1, 1, 4096, kTable}, {2, 3, 16383, kTable}});
  Check(16, {{0, 130, 4090, kTable}, {130, 4, 16382, kTable}, {134, 7, 60, kTable}});
  Check(8, {{0, 3, 509, kTable}, {3, 1, 7, kTable}});
  Check(32, {{0, 300, 0, kTable}});
}

TEST(MlaPlanTest, ManyTilesAreWalkedWhole) {
  // 128 sequences of equal length: two tiles each, more than the card's blocks. One long one among short ones
  // is cut.
  std::vector<AttentionSequence> sequences;
  for (int32_t s = 0; s < 128; ++s) sequences.push_back({s, 1, 4095, kTable});
  const MlaPlan equal = PlanMla(128, sequences.data(), 128);
  EXPECT_EQ(equal.items.size(), 256u);
  EXPECT_EQ(equal.partials, 0);
  sequences[5].first_position = 100000;
  const MlaPlan unlike = PlanMla(128, sequences.data(), 128);
  EXPECT_EQ(unlike.merges.size(), 2u);
  EXPECT_EQ(unlike.merges[0].row, 5);
  EXPECT_EQ(unlike.items.size(), 254u + 2 * 49);
}

TEST(MlaPlanTest, PartsDependOnThePositionAlone) {
  // The same query in a batch of its own, in a chunk, and beside others.
  const auto part_pages = [](const std::vector<AttentionSequence>& sequences, int row) {
    const MlaPlan plan = PlanMla(16, sequences.data(), static_cast<int64_t>(sequences.size()));
    for (const MlaItem& item : plan.items) {
      if (item.row <= row && row < item.row + item.tokens) return item.part_pages;
    }
    return 0;
  };
  EXPECT_EQ(part_pages({{0, 1, 4090, kTable}}, 0), 8);
  EXPECT_EQ(part_pages({{0, 100, 4000, kTable}}, 90), 8);
  EXPECT_EQ(part_pages({{0, 100, 4000, kTable}}, 97), 16);
  EXPECT_EQ(part_pages({{0, 1, 90000, kTable}, {1, 1, 4090, kTable}}, 1), 8);
}

}  // namespace
}  // namespace deeprack::kernels::sm90
