#include "coordinator/placement/placement.h"

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

JoinedNode Launched(int rank, int world) {
  return {.launch_rank = rank, .launch_world = world, .host = "node", .pid = 100 + rank, .backend = "cpu"};
}
JoinedNode Lone(int pid) { return {.host = "node", .pid = pid, .backend = "cpu"}; }

TEST(PlacementTest, LaunchRanksAreRanksWhateverTheOrderOfJoining) {
  const std::vector<JoinedNode> nodes = {Launched(2, 3), Launched(0, 3), Launched(1, 3)};
  const auto ranks = AssignRanks({.tp = 3}, nodes);
  ASSERT_TRUE(ranks.ok()) << ranks.status();
  EXPECT_THAT(*ranks, ElementsAre(2, 0, 1));
}

// A worker with card `card` of NVLink group `link` on `host`.
JoinedNode WithCard(const std::string& host, int card, int link = 0) {
  JoinedNode node = {.host = host, .pid = 100 + card, .backend = "cuda"};
  node.report.machine = absl::StrCat("id of ", host);
  for (int c = 0; c <= card; ++c) node.report.cards.push_back({.numa_node = c / 4, .link_group = link});
  node.report.card = card;
  return node;
}

std::vector<Rank> RanksOf(const model::Layout& layout, const std::vector<JoinedNode>& nodes) {
  const auto ranks = AssignRanks(layout, nodes);
  EXPECT_TRUE(ranks.ok()) << ranks.status();
  return ranks.ok() ? *ranks : std::vector<Rank>();
}

TEST(PlacementTest, TheOrderOfJoiningDoesNotMatter) {
  EXPECT_THAT(RanksOf({.dp = 2}, {Lone(7), Lone(3)}), ElementsAre(1, 0));
  EXPECT_THAT(RanksOf({.dp = 2}, {Lone(3), Lone(7)}), ElementsAre(0, 1));
}

TEST(PlacementTest, ATpGroupLiesOnOneMachineAndAStageCrossesTheNetwork) {
  // Two machines of two workers each, which join in turn.
  const std::vector<JoinedNode> nodes = {WithCard("b", 0), WithCard("a", 0), WithCard("b", 1),
                                         WithCard("a", 1)};
  for (const model::Layout& layout :
       {model::Layout{.tp = 2, .dp = 2, .ep = 4}, {.tp = 2, .ep = 2, .pp = 2}, {.dp = 2, .ep = 2, .pp = 2}}) {
    EXPECT_THAT(RanksOf(layout, nodes), ElementsAre(2, 0, 3, 1)) << ToString(layout);
  }
}

TEST(PlacementTest, ATpGroupLiesWithinItsLinks) {
  // Cards 0 and 2 reach each other over NVLink, and so do cards 1 and 3.
  std::vector<JoinedNode> nodes;
  for (int card = 0; card < 4; ++card) nodes.push_back(WithCard("a", card, card % 2));
  for (JoinedNode& node : nodes) {
    for (size_t c = 0; c < node.report.cards.size(); ++c) {
      node.report.cards[c].link_group = static_cast<int>(c) % 2;
    }
  }
  EXPECT_THAT(RanksOf({.tp = 2, .dp = 2, .ep = 4}, nodes), ElementsAre(0, 2, 1, 3));
  // Three of four cards: the pair with NVLink is the tp group, and the third card is left over.
  EXPECT_THAT(RanksOf({.tp = 2, .ep = 2}, {nodes[0], nodes[1], nodes[3]}), ElementsAre(-1, 0, 1));
}

TEST(PlacementTest, ExpertGroupsLieOnOneMachineWhereStagesDoNot) {
  // Each of the two expert groups has two tp groups. Only machine m has room for a whole expert group.
  std::vector<JoinedNode> nodes;
  for (const auto& [host, cards] : {std::pair("a", 2), {"m", 4}, {"z", 2}}) {
    for (int card = 0; card < cards; ++card) nodes.push_back(WithCard(host, card));
  }
  EXPECT_THAT(RanksOf({.tp = 2, .dp = 4, .ep = 2}, nodes), ElementsAre(0, 1, 4, 5, 6, 7, 2, 3));
  // Without expert groups of several tp groups, ranks follow the machines' names.
  EXPECT_THAT(RanksOf({.tp = 2, .dp = 4, .ep = 8}, nodes), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(PlacementTest, ReplacementsGoToTheTpGroupOfTheirMachine) {
  std::vector<JoinedNode> nodes = {WithCard("b", 1), WithCard("a", 1), WithCard("a", 0), WithCard("b", 0)};
  nodes[2].kept_rank = 2;  // a's rank is 2 and b's rank is 0, against the order of names
  nodes[3].kept_rank = 0;
  EXPECT_THAT(RanksOf({.tp = 2, .dp = 2, .ep = 4}, nodes), ElementsAre(1, 3, 2, 0));
  // A rank that the layout does not have is given anew.
  nodes[2].kept_rank = 7;
  EXPECT_THAT(RanksOf({.tp = 2, .dp = 2, .ep = 4}, nodes), ElementsAre(1, 3, 2, 0));
}

// Random racks: the placement is the same in every order of joining, keeps what was kept, and has whole tp
// groups on machines whenever there are enough whole groups.
TEST(PlacementTest, RandomRacks) {
  std::mt19937 random(20261130);
  const auto below = [&](int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); };
  for (int round = 0; round < 2000; ++round) {
    const model::Layout sizes = {.tp = 1 + below(4), .dp = 1 + below(4), .pp = 1 + below(3)};
    std::vector<int> divisors;
    for (int ep = 1; ep <= sizes.stage_size(); ++ep) {
      if (sizes.stage_size() % ep == 0) divisors.push_back(ep);
    }
    model::Layout layout = sizes;
    layout.ep = divisors[static_cast<size_t>(below(static_cast<int>(divisors.size())))];
    std::vector<JoinedNode> nodes;
    std::map<std::string, int> on_machine;
    const int spare = below(3);
    while (std::ssize(nodes) < layout.world_size() + spare) {
      const std::string host = absl::StrCat("node", below(5));
      nodes.push_back(WithCard(host, on_machine[host]++, below(2)));
      nodes.back().report.cards.back().link_group = below(2) - 1;
    }
    const bool some_kept = below(2) == 1;
    for (Rank rank = 0; some_kept && rank < layout.world_size(); ++rank) {
      if (below(3) > 0) nodes[static_cast<size_t>(rank)].kept_rank = rank;
    }
    SCOPED_TRACE(absl::StrCat("round ", round, ", ", ToString(layout)));
    const std::vector<Rank> ranks = RanksOf(layout, nodes);
    ASSERT_EQ(ranks.size(), nodes.size());
    std::vector<int> node_of(static_cast<size_t>(layout.world_size()), -1);
    for (size_t i = 0; i < ranks.size(); ++i) {
      if (nodes[i].kept_rank >= 0) {
        EXPECT_EQ(ranks[i], nodes[i].kept_rank);
      }
      if (ranks[i] < 0) continue;
      ASSERT_LT(ranks[i], layout.world_size());
      ASSERT_EQ(node_of[static_cast<size_t>(ranks[i])], -1) << "two nodes have rank " << ranks[i];
      node_of[static_cast<size_t>(ranks[i])] = static_cast<int>(i);
    }
    EXPECT_EQ(std::ranges::count(node_of, -1), 0);

    int whole_groups = 0;
    for (const auto& [host, count] : on_machine) whole_groups += count / layout.tp;
    const bool none_kept = std::ranges::all_of(nodes, [](const auto& node) { return node.kept_rank < 0; });
    if (none_kept && whole_groups >= layout.dp * layout.pp) {
      for (Rank rank = 0; rank < layout.world_size(); ++rank) {
        EXPECT_EQ(nodes[static_cast<size_t>(node_of[static_cast<size_t>(rank)])].host,
                  nodes[static_cast<size_t>(node_of[static_cast<size_t>(rank / layout.tp * layout.tp)])].host)
            << "rank " << rank;
      }
    }

    std::vector<size_t> order(nodes.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::shuffle(order, random);
    std::vector<JoinedNode> shuffled;
    std::vector<Rank> expected;
    for (const size_t i : order) {
      shuffled.push_back(nodes[i]);
      expected.push_back(ranks[i]);
    }
    ASSERT_EQ(RanksOf(layout, shuffled), expected);
  }
}

TEST(PlacementTest, TheLogSaysWhichRanksAHostHas) {
  const std::vector<JoinedNode> nodes = {WithCard("b", 0), WithCard("a", 0), WithCard("b", 1),
                                         WithCard("c", 0)};
  EXPECT_EQ(DescribeRanks(nodes, std::vector<Rank>{1, 2, 0, -1}),
            "a: rank 2; b: ranks 0, 1; without a rank: pid 100 on c");
}

TEST(PlacementTest, TooFewWorkersAreCountedAndNamed) {
  const std::vector<JoinedNode> nodes = {Launched(2, 4), Launched(0, 4)};
  const auto ranks = AssignRanks({.tp = 2, .pp = 2}, nodes);
  EXPECT_TRUE(absl::IsFailedPrecondition(ranks.status()));
  EXPECT_THAT(std::string(ranks.status().message()),
              HasSubstr("2 of 4 workers joined; missing launch ranks 1, 3"));
  EXPECT_EQ(DescribeMissing({.tp = 4}, std::vector<JoinedNode>{Lone(1)}), "1 of 4 workers joined");
}

TEST(PlacementTest, ThoseThatCannotJoinAreToldWhy) {
  const model::Layout layout{.tp = 2};
  const std::vector<JoinedNode> joined = {Launched(0, 2)};
  EXPECT_TRUE(CheckJoin(layout, joined, Launched(1, 2)).ok());

  const absl::Status other_world = CheckJoin(layout, {}, Launched(1, 4));
  EXPECT_TRUE(absl::IsFailedPrecondition(other_world));
  EXPECT_THAT(std::string(other_world.message()), HasSubstr("started 4 workers"));
  EXPECT_THAT(std::string(other_world.message()), HasSubstr("needs 2"));

  EXPECT_TRUE(absl::IsAlreadyExists(CheckJoin(layout, joined, Launched(0, 2))));
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckJoin(layout, joined, Lone(5))));
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckJoin(layout, {}, Launched(2, 2))));
  JoinedNode gpu = Launched(1, 2);
  gpu.backend = "cuda";
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckJoin(layout, joined, gpu)));
  const std::vector<JoinedNode> full = {Launched(0, 2), Launched(1, 2)};
  EXPECT_TRUE(absl::IsResourceExhausted(CheckJoin(layout, full, Launched(1, 2))));
}

TEST(PlacementTest, RanksThatWereKeptStayAndTheLowestThatAreLeftGoToNewcomers) {
  std::vector<JoinedNode> nodes = {Lone(7), Lone(3), Lone(5), Lone(4)};
  nodes[0].kept_rank = 2;
  nodes[2].kept_rank = 0;
  const model::Layout layout{.tp = 4};
  const auto ranks = AssignRanks(layout, nodes);
  ASSERT_TRUE(ranks.ok()) << ranks.status();
  EXPECT_THAT(*ranks, ElementsAre(2, 1, 0, 3));
  nodes.resize(2);
  EXPECT_THAT(MissingRanks(layout, nodes), ElementsAre(1, 3));
  EXPECT_EQ(DescribeMissing(layout, nodes), "2 of 4 workers joined; missing ranks 1, 3");
}

TEST(PlacementTest, WhoCanMeetAgain) {
  EXPECT_TRUE(CanMeetAgain(std::vector<JoinedNode>{Lone(1)}));
  EXPECT_FALSE(CanMeetAgain(std::vector<JoinedNode>{Launched(0, 2), Launched(1, 2)}));
  JoinedNode a = Lone(1), b = Lone(2);
  a.nccl = b.nccl = true;
  a.card = "a";
  b.card = "b";
  EXPECT_TRUE(CanMeetAgain(std::vector<JoinedNode>{a, b}));
  JoinedNode c = Lone(3), d = Lone(4);
  EXPECT_FALSE(CanMeetAgain(std::vector<JoinedNode>{c, d}));
  c.gloo = d.gloo = true;
  EXPECT_TRUE(CanMeetAgain(std::vector<JoinedNode>{c, d}));
}

TEST(PlacementTest, CardsOfTheirOwnMeetOverNccl) {
  const auto with_card = [](const char* card, bool nccl = true) {
    return JoinedNode{.host = "node", .backend = "cuda", .card = card, .nccl = nccl};
  };
  const auto plane = [](std::vector<JoinedNode> nodes) { return ChooseDataPlane(nodes); };
  EXPECT_EQ(plane({with_card("a/1"), with_card("a/2"), with_card("b/1")}), DataPlane::kNccl);
  EXPECT_EQ(plane({with_card("a/1"), with_card("a/1")}), DataPlane::kLauncher);  // two ranks share one card
  EXPECT_EQ(plane({with_card("a/1"), with_card("a/2", false)}), DataPlane::kLauncher);
  EXPECT_EQ(plane({with_card("a/1")}), DataPlane::kLauncher);  // one rank
  EXPECT_EQ(plane({Launched(0, 2), Launched(1, 2)}), DataPlane::kLauncher);
}

TEST(PlacementTest, RanksWithoutALauncherMeetOverGloo) {
  const auto with_gloo = [](JoinedNode node) {
    node.gloo = true;
    return node;
  };
  const auto plane = [](std::vector<JoinedNode> nodes) { return ChooseDataPlane(nodes); };
  EXPECT_EQ(plane({with_gloo(Lone(1)), with_gloo(Lone(2))}), DataPlane::kGloo);
  EXPECT_EQ(plane({with_gloo(Lone(1))}), DataPlane::kLauncher);  // one rank
  EXPECT_EQ(plane({with_gloo(Lone(1)), Lone(2)}), DataPlane::kLauncher);
  EXPECT_EQ(plane({with_gloo(Launched(0, 2)), with_gloo(Launched(1, 2))}), DataPlane::kLauncher);
  // Cards prefer NCCL, and share a card over gloo.
  JoinedNode a = with_gloo(Lone(1)), b = with_gloo(Lone(2));
  a.nccl = b.nccl = true;
  a.card = b.card = "node/1";
  EXPECT_EQ(plane({a, b}), DataPlane::kGloo);
  b.card = "node/2";
  EXPECT_EQ(plane({a, b}), DataPlane::kNccl);
}

}  // namespace
}  // namespace deeprack::coordinator
