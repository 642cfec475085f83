#include "bench/gpu/echo_kernels.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace deeprack::bench {
namespace {

// A row of 32 bytes: a tag, then three ids.
struct Row {
  int32_t tag = 0;
  int32_t unused[3] = {};
  int32_t ids[3] = {};
  int32_t end = 0;
  bool operator==(const Row&) const = default;
};
constexpr EchoRouting kRouting = {.ids_at = 16, .top_k = 3, .rank_experts = 4};

// Two tokens' rows for rank 0, none for rank 1, one row for rank 2, at these places.
std::vector<Row> Sent(size_t rows, const std::vector<size_t>& places) {
  std::vector<Row> sent(rows);
  sent[places[0]] = {.tag = 1, .ids = {0, 3, 9}};
  sent[places[1]] = {.tag = 2, .ids = {1, -1, 2}};
  sent[places[2]] = {.tag = 3, .ids = {8, 11, 2}};
  return sent;
}

TEST(EchoKernelsTest, RowsComeBackWithIdsOfThisRanksExperts) {
  const std::vector<Row> sent = Sent(6, {0, 1, 4});
  std::vector<Row> received(6, Row{.tag = -7});
  const std::vector<int64_t> rows_to = {2, 0, 1};
  std::vector<int64_t> rows_from(3, -1);
  EchoRows({.send = sent.data(),
            .receive = received.data(),
            .row_bytes = sizeof(Row),
            .ranks = 3,
            .slots = 2,
            .rows_to = rows_to.data(),
            .rows_from = rows_from.data(),
            .routing = kRouting},
           {});
  EXPECT_EQ(rows_from, rows_to);
  EXPECT_EQ(received[0], sent[0]) << "ids above its own are other ranks'";
  EXPECT_EQ(received[1], sent[1]);
  EXPECT_EQ(received[4], (Row{.tag = 3, .ids = {0, 3, -1}}));
  for (const size_t untouched : {2, 3, 5}) EXPECT_EQ(received[untouched].tag, -7);
}

TEST(EchoKernelsTest, RowsThatFollowEachOther) {
  const std::vector<Row> sent = Sent(3, {0, 1, 2});
  std::vector<Row> received(3);
  EchoRowsArgs args = {.send = sent.data(), .receive = received.data(), .row_bytes = sizeof(Row), .ranks = 3};
  args.begin[1] = args.begin[2] = 2;
  args.begin[3] = 3;
  EchoRows(args, {});
  EXPECT_EQ(received, sent) << "sums have no ids";
  args.routing = kRouting;
  EchoRows(args, {});
  EXPECT_EQ(received[2], (Row{.tag = 3, .ids = {0, 3, -1}}));
}

TEST(EchoKernelsTest, EveryRankSendsAsThisOneDoes) {
  const std::vector<int64_t> rows_to = {5, 6, 7};
  std::vector<int64_t> counts(9);
  EchoCounts(rows_to.data(), counts.data(), 3, {});
  EXPECT_EQ(counts, (std::vector<int64_t>{5, 6, 7, 6, 7, 5, 7, 5, 6}));
  // What comes from rank r, column 0, is what went there.
  for (size_t r = 0; r < 3; ++r) EXPECT_EQ(counts[r * 3], rows_to[r]);
}

}  // namespace
}  // namespace deeprack::bench
