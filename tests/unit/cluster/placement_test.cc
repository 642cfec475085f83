#include "coordinator/placement/placement.h"

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

TEST(PlacementTest, LoneWorkersAreRankedByTheirJoining) {
  const std::vector<JoinedNode> nodes = {Lone(7), Lone(3)};
  const auto ranks = AssignRanks({.dp = 2}, nodes);
  ASSERT_TRUE(ranks.ok()) << ranks.status();
  EXPECT_THAT(*ranks, ElementsAre(0, 1));
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
