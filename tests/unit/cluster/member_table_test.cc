#include "coordinator/membership/member_table.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr HealthLimits kLimits{.heartbeat_timeout = absl::Seconds(3), .stuck_timeout = absl::Seconds(10)};

class MemberTableTest : public testing::Test {
 protected:
  MemberTableTest() {
    for (int rank : {1, 0}) {
      const auto member = table_.Join(
          {.launch_rank = rank, .launch_world = 2, .host = "node", .pid = 40 + rank, .backend = "cpu"}, now_);
      EXPECT_TRUE(member.ok());
    }
    EXPECT_TRUE(table_.fills_as_before());
    EXPECT_TRUE(table_.AssignRanks().ok());
    EXPECT_THAT(table_.CheckHealth(now_), IsEmpty());
  }

  // Sends heartbeats of both members once a second, with a check after each.
  std::vector<Loss> Live(int seconds, bool busy_0, bool busy_1, bool progress_1 = false) {
    std::vector<Loss> losses;
    for (int i = 0; i < seconds; ++i) {
      now_ += absl::Seconds(1);
      table_.Heartbeat(0, 0, busy_0, now_);
      table_.Heartbeat(1, progress_1 ? ++steps_ : steps_, busy_1, now_);
      for (Loss& loss : table_.CheckHealth(now_)) losses.push_back(std::move(loss));
    }
    return losses;
  }

  absl::Time now_ = absl::UnixEpoch();
  uint64_t steps_ = 0;
  MemberTable table_{{model::Layout{.tp = 2}}, /*epoch=*/1, kLimits};
};

TEST_F(MemberTableTest, IdleMembersAreWell) { EXPECT_THAT(Live(100, false, false), IsEmpty()); }

TEST_F(MemberTableTest, SilenceIsALossAfterTheTimeoutAndOnlyOnce) {
  std::vector<Loss> losses;
  for (int i = 0; i < 5; ++i) {
    now_ += absl::Seconds(1);
    table_.Heartbeat(1, 0, false, now_);
    for (Loss& loss : table_.CheckHealth(now_)) losses.push_back(std::move(loss));
    EXPECT_EQ(losses.size(), i < 3 ? 0u : 1u) << "after " << i + 1 << " s";
  }
  ASSERT_THAT(losses, SizeIs(1));
  EXPECT_EQ(losses[0].rank, 1);  // member 0 joined as launch rank 1
  EXPECT_EQ(ToString(losses[0]), "rank 1 (pid 41 on node) was lost: no heartbeat for 3s");
  EXPECT_FALSE(table_.Lose(0, "again").has_value());
}

TEST_F(MemberTableTest, BusyWithoutProgressIsStuck) {
  const std::vector<Loss> losses = Live(12, true, false);
  ASSERT_THAT(losses, SizeIs(1));
  EXPECT_EQ(losses[0].rank, 1);
  EXPECT_THAT(losses[0].why, HasSubstr("finished no step for 10s"));
}

TEST_F(MemberTableTest, BusyWithProgressIsNotStuck) { EXPECT_THAT(Live(100, false, true, true), IsEmpty()); }

TEST_F(MemberTableTest, TheTimeOfAStepStartsWhenItDoes) {
  EXPECT_THAT(Live(60, false, false), IsEmpty());
  EXPECT_THAT(Live(9, true, true), IsEmpty());
  EXPECT_THAT(Live(1, false, false), IsEmpty());
  EXPECT_THAT(Live(9, true, true), IsEmpty());
}

TEST_F(MemberTableTest, AfterThisProcessSleptEveryoneGetsTimeAnew) {
  now_ += absl::Hours(1);
  EXPECT_THAT(table_.CheckHealth(now_), IsEmpty());
  EXPECT_THAT(Live(3, false, false), IsEmpty());
}

TEST_F(MemberTableTest, ABrokenConnectionIsALossAtOnce) {
  const auto loss = table_.Lose(1, "its connection broke");
  ASSERT_TRUE(loss.has_value());
  EXPECT_EQ(ToString(*loss), "rank 0 (pid 40 on node) was lost: its connection broke");
  EXPECT_THAT(Live(100, false, true), IsEmpty());  // a lost member is not watched
}

TEST_F(MemberTableTest, AnMpiWorldLeavesNobodyInTheNextEpoch) {
  ASSERT_TRUE(table_.Lose(1, "its connection broke").has_value());
  table_.OpenNextEpoch(now_);
  EXPECT_EQ(table_.epoch(), 2u);
  EXPECT_THAT(table_.nodes(), IsEmpty());
  EXPECT_FALSE(table_.Heartbeat(0, 0, false, now_)) << "a survivor without a world";
  EXPECT_FALSE(table_.Lose(0, "it left").has_value()) << "nobody's loss";
  // The same launch ranks join again, under other member numbers.
  for (int rank : {0, 1}) {
    const auto member = table_.Join(
        {.launch_rank = rank, .launch_world = 2, .host = "node", .pid = 90 + rank, .backend = "cpu"}, now_);
    ASSERT_TRUE(member.ok()) << member.status();
    EXPECT_EQ(*member, 2 + rank);
  }
  EXPECT_TRUE(table_.AssignRanks().ok());
  EXPECT_EQ(table_.Lose(2, "gone")->epoch, 2u);
}

// Two cards that meet over NCCL, without a launcher.
class NcclMemberTableTest : public testing::Test {
 protected:
  MemberTable::MemberId Join(const std::string& card) {
    return table_.Join({.host = "node", .backend = "cuda", .card = card, .nccl = true}, now_).value();
  }
  absl::Time now_ = absl::UnixEpoch();
  MemberTable table_{{model::Layout{.tp = 3}}, /*epoch=*/7, kLimits};
};

TEST_F(NcclMemberTableTest, SurvivorsKeepTheirRanksAndOthersTakeWhatIsLeft) {
  for (const char* card : {"a", "b", "c"}) Join(card);
  ASSERT_TRUE(table_.AssignRanks().ok());
  EXPECT_EQ(table_.Lose(1, "gone")->rank, 1);
  table_.OpenNextEpoch(now_);
  EXPECT_FALSE(table_.fills_as_before());
  EXPECT_TRUE(table_.Heartbeat(0, 5, false, now_));
  EXPECT_EQ(DescribeMissing(table_.layout(), table_.nodes()), "2 of 3 workers joined; missing rank 1");
  const int replacement = Join("d");
  const auto ranks = table_.AssignRanks();
  ASSERT_TRUE(ranks.ok()) << ranks.status();
  EXPECT_THAT(*ranks,
              testing::ElementsAre(testing::Pair(0, 0), testing::Pair(2, 2), testing::Pair(replacement, 1)));
}

TEST_F(NcclMemberTableTest, WhoLeavesAnOpenEpochLeavesItsPlaceOpen) {
  for (const char* card : {"a", "b", "c"}) Join(card);
  ASSERT_TRUE(table_.AssignRanks().ok());
  EXPECT_FALSE(table_.Lose(1, "gone")->place_is_open);
  table_.OpenNextEpoch(now_);
  EXPECT_TRUE(table_.Lose(2, "gone too")->place_is_open);
  EXPECT_THAT(MissingRanks(table_.layout(), table_.nodes()), testing::ElementsAre(1, 2));
  Join("d");
  Join("e");
  EXPECT_TRUE(table_.fills_as_before());
  EXPECT_TRUE(table_.AssignRanks().ok());
}

// Workers that keep their weights come from an earlier coordinator.
class KeptMemberTableTest : public testing::Test {
 protected:
  absl::StatusOr<MemberTable::MemberId> Join(Rank kept_rank, Epoch last_epoch,
                                             const std::string& options = "mine") {
    return table_.Join({.host = "node",
                        .pid = ++pid_,
                        .backend = "cpu",
                        .gloo = true,
                        .kept_rank = kept_rank,
                        .last_epoch = last_epoch,
                        .kept_options = options},
                       now_);
  }
  std::map<int, Rank> Ranks() { return table_.AssignRanks().value(); }

  absl::Time now_ = absl::UnixEpoch();
  int64_t pid_ = 0;
  MemberTable table_{{model::Layout{.tp = 3}}, /*epoch=*/1, kLimits, "mine"};
};

TEST_F(KeptMemberTableTest, RanksAreThoseOfTheWeightsAndTheEpochIsLaterThanAll) {
  ASSERT_TRUE(Join(2, 4).ok());
  ASSERT_TRUE(Join(0, 7).ok());
  ASSERT_TRUE(Join(1, 6).ok());
  EXPECT_EQ(table_.epoch(), 8u);
  EXPECT_TRUE(table_.first());
  EXPECT_THAT(Ranks(), testing::ElementsAre(testing::Pair(0, 2), testing::Pair(1, 0), testing::Pair(2, 1)));
  table_.OpenNextEpoch(now_);
  EXPECT_EQ(table_.epoch(), 9u);
  EXPECT_FALSE(table_.first());
}

TEST_F(KeptMemberTableTest, WeightsOfOtherOptionsOrOfNoRankOfTheLayoutGiveNoRank) {
  ASSERT_TRUE(Join(2, 4, "another's").ok());
  ASSERT_TRUE(Join(3, 9).ok());
  ASSERT_TRUE(Join(-1, 12).ok());  // its load failed
  EXPECT_EQ(table_.epoch(), 13u);
  EXPECT_THAT(Ranks(), testing::ElementsAre(testing::Pair(0, 0), testing::Pair(1, 1), testing::Pair(2, 2)));
}

TEST_F(KeptMemberTableTest, OfTwoWithTheSameRankTheLaterKeepsIt) {
  ASSERT_TRUE(Join(2, 4).ok());
  ASSERT_TRUE(Join(2, 5).ok());
  ASSERT_TRUE(Join(2, 3).ok());
  EXPECT_THAT(Ranks(), testing::ElementsAre(testing::Pair(0, 0), testing::Pair(1, 2), testing::Pair(2, 1)));
}

TEST_F(KeptMemberTableTest, AWorkerThatComesBackLateDoesNotTakeAMembersRank) {
  for (Rank rank : {0, 1, 2}) ASSERT_TRUE(Join(rank, 1).ok());
  ASSERT_TRUE(table_.AssignRanks().ok());  // epoch 2
  ASSERT_TRUE(table_.Lose(1, "gone").has_value());
  table_.OpenNextEpoch(now_);
  ASSERT_TRUE(Join(2, 1).ok());
  EXPECT_EQ(table_.epoch(), 3u);
  EXPECT_THAT(Ranks(), testing::ElementsAre(testing::Pair(0, 0), testing::Pair(2, 2), testing::Pair(3, 1)));
}

TEST_F(KeptMemberTableTest, AnEpochWithoutASuccessorIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Join(0, UINT64_MAX).status()));
  EXPECT_THAT(table_.nodes(), IsEmpty());
  EXPECT_EQ(table_.epoch(), 1u);
}

// Two layouts over gloo: tp2dp2, and tp2 when workers are missing.
class LayoutsTest : public testing::Test {
 protected:
  MemberTable::MemberId Join(int pid) {
    const auto member = table_.Join({.host = "node", .pid = pid, .backend = "cpu", .gloo = true}, now_);
    EXPECT_TRUE(member.ok()) << member.status();
    return member.value_or(-1);
  }
  std::map<MemberTable::MemberId, Rank> Assign() {
    const auto ranks = table_.AssignRanks();
    EXPECT_TRUE(ranks.ok()) << ranks.status();
    return ranks.value_or(std::map<MemberTable::MemberId, Rank>());
  }

  static constexpr model::Layout kLarge = {.tp = 2, .dp = 2, .ep = 4}, kSmall = {.tp = 2, .ep = 2};
  const absl::Time now_ = absl::UnixEpoch();
  MemberTable table_{std::vector<model::Layout>{kLarge, kSmall}, /*epoch=*/1, kLimits};
};

TEST_F(LayoutsTest, TheLargestThatIsFilledIsFormed) {
  Join(1);
  EXPECT_FALSE(table_.fills_any());
  Join(2);
  EXPECT_TRUE(table_.fills_any());
  EXPECT_FALSE(table_.fills_as_before());
  Join(3);
  EXPECT_EQ(table_.layout(), kLarge);  // the epoch is open
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(0, 0), std::pair(1, 1)));
  EXPECT_EQ(table_.layout(), kSmall);
  EXPECT_FALSE(table_.fills_larger());
  Join(4);  // waits for a later epoch, as worker 3 does
  EXPECT_TRUE(table_.fills_larger());
  table_.OpenNextEpoch(now_);
  EXPECT_TRUE(table_.fills_as_before());
  EXPECT_THAT(Assign(), SizeIs(4));
  EXPECT_EQ(table_.layout(), kLarge);
  EXPECT_FALSE(table_.Join({.pid = 5, .backend = "cpu", .gloo = true}, now_).ok());
}

TEST_F(LayoutsTest, TheLossOfAWorkerWithoutARankEndsNoEpoch) {
  for (const int pid : {1, 2, 3}) Join(pid);
  Assign();
  const auto spare = table_.Lose(2, "gone");
  ASSERT_TRUE(spare.has_value());
  EXPECT_TRUE(spare->place_is_open);
  EXPECT_THAT(table_.nodes(), SizeIs(2));
  const auto rank = table_.Lose(1, "gone");
  ASSERT_TRUE(rank.has_value());
  EXPECT_FALSE(rank->place_is_open);
  EXPECT_EQ(rank->rank, 1);
}

TEST_F(LayoutsTest, ASpareWorkerTakesALostRanksPlaceAndTheOtherRankIsKept) {
  for (const int pid : {3, 2, 1}) Join(pid);  // in an order of its own: ranks follow the reports
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(1, 1), std::pair(2, 0)));
  table_.Lose(2, "gone");
  table_.OpenNextEpoch(now_);
  EXPECT_TRUE(table_.fills_as_before());
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(0, 0), std::pair(1, 1)));
}

TEST_F(LayoutsTest, AReplacementFillsTheSmallLayoutAgain) {
  for (const int pid : {1, 2}) Join(pid);
  Assign();
  table_.Lose(1, "gone");
  table_.OpenNextEpoch(now_);
  EXPECT_FALSE(table_.fills_as_before());
  Join(3);
  EXPECT_TRUE(table_.fills_as_before());
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(0, 0), std::pair(2, 1)));
  EXPECT_EQ(table_.layout(), kSmall);
}

TEST_F(LayoutsTest, AfterALossInTheLargeLayoutTheSmallOneIsNotFormedAtOnce) {
  for (const int pid : {1, 2, 3, 4}) Join(pid);
  EXPECT_THAT(Assign(), SizeIs(4));
  table_.Lose(0, "gone");
  table_.OpenNextEpoch(now_);
  EXPECT_FALSE(table_.fills_as_before());
  EXPECT_TRUE(table_.fills_any());
  EXPECT_EQ(DescribeMissing(table_.layout(), table_.nodes()), "3 of 4 workers joined; missing rank 0");
  // Ranks of another layout are not kept: all are given anew.
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(1, 0), std::pair(2, 1)));
}

TEST_F(LayoutsTest, ALayoutThatCannotLoadIsFollowedByASmallerOneAndTriedLater) {
  for (const int pid : {1, 2, 3, 4}) Join(pid);
  EXPECT_THAT(Assign(), SizeIs(4));
  table_.OpenNextEpoch(now_, /*smaller=*/true);
  EXPECT_TRUE(table_.fills_as_before());
  EXPECT_THAT(Assign(), SizeIs(2));
  EXPECT_EQ(table_.layout(), kSmall);
  EXPECT_TRUE(table_.fills_larger());
  table_.OpenNextEpoch(now_, /*smaller=*/true);  // there is none
  EXPECT_THAT(Assign(), SizeIs(4));
}

// Slow ranks with their shares of the time of steps.
using Slow = std::map<Rank, double>;

TEST_F(LayoutsTest, AWorkerWithoutARankTakesASlowRanksPlace) {
  for (const int pid : {1, 2, 3}) Join(pid);
  EXPECT_FALSE(table_.CanDrain(Slow{{1, 0.4}})) << "the epoch is open";
  Assign();
  EXPECT_FALSE(table_.CanDrain({}));
  EXPECT_FALSE(table_.CanDrain(Slow{{0, 0.4}, {1, 0.4}})) << "one worker is left";
  EXPECT_TRUE(table_.CanDrain(Slow{{1, 0.4}}));
  ASSERT_TRUE(table_.Drain(Slow{{1, 0.4}}, now_, now_ + absl::Minutes(30)));
  EXPECT_EQ(table_.epoch(), 2u);
  EXPECT_TRUE(table_.fills_as_before());
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(0, 0), std::pair(2, 1)));
  EXPECT_EQ(table_.layout(), kSmall);
  EXPECT_TRUE(table_.Heartbeat(1, 5, false, now_)) << "the slow rank's worker stays a member";
  EXPECT_TRUE(table_.Lose(1, "gone")->place_is_open);
}

TEST_F(LayoutsTest, ASmallerLayoutIsFormedIfItIsFaster) {
  for (const int pid : {1, 2, 3, 4}) Join(pid);
  Assign();
  EXPECT_FALSE(table_.CanDrain(Slow{{2, 0.5}})) << "two ranks take as long as four with this one";
  EXPECT_FALSE(table_.Drain(Slow{{2, 0.5}}, now_, now_ + absl::Minutes(30)));
  EXPECT_EQ(table_.epoch(), 1u);
  EXPECT_FALSE(table_.CanDrain(Slow{{0, 0.9}, {1, 0.9}, {2, 0.9}})) << "one worker is left";
  ASSERT_TRUE(table_.Drain(Slow{{2, 0.6}}, now_, now_ + absl::Minutes(30)));
  EXPECT_TRUE(table_.fills_as_before()) << "the smaller layout is formed at once";
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(0, 0), std::pair(1, 1)));
  EXPECT_EQ(table_.layout(), kSmall);
}

TEST_F(LayoutsTest, ADrainedRanksWorkerIsNotTakenBeforeItsTime) {
  for (const int pid : {1, 2, 3, 4}) Join(pid);
  Assign();
  ASSERT_TRUE(table_.Drain(Slow{{3, 0.9}}, now_, now_ + absl::Minutes(30)));
  Assign();
  table_.CheckHealth(now_);  // later checks are long after this one, so that heartbeats count anew
  table_.CheckHealth(now_ + absl::Minutes(29));
  EXPECT_FALSE(table_.fills_larger());
  // Its stream breaks, and the process attaches again.
  ASSERT_TRUE(table_.Lose(3, "its connection broke").has_value());
  EXPECT_EQ(Join(4), 4);
  EXPECT_FALSE(table_.fills_larger());
  EXPECT_THAT(table_.nodes(), SizeIs(3));
  table_.CheckHealth(now_ + absl::Minutes(30));
  EXPECT_TRUE(table_.fills_larger());
  table_.OpenNextEpoch(now_);
  EXPECT_THAT(Assign(), SizeIs(4));
  EXPECT_EQ(table_.layout(), kLarge);
}

TEST_F(LayoutsTest, ANewProcessTakesADrainedRanksPlace) {
  for (const int pid : {1, 2, 3, 4}) Join(pid);
  Assign();
  ASSERT_TRUE(table_.Drain(Slow{{3, 0.9}}, now_, now_ + absl::Minutes(30)));
  Assign();
  Join(5);
  EXPECT_TRUE(table_.fills_larger());
  table_.OpenNextEpoch(now_);
  EXPECT_THAT(Assign(), testing::UnorderedElementsAre(testing::Key(0), testing::Key(1), testing::Key(2),
                                                      testing::Key(4)));
}

TEST_F(LayoutsTest, ASlowRankIsBetterThanAMissingOne) {
  for (const int pid : {1, 2, 3}) Join(pid);
  Assign();
  ASSERT_TRUE(table_.Drain(Slow{{1, 0.9}}, now_, now_ + absl::Minutes(30)));
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(0, 0), std::pair(2, 1)));
  ASSERT_TRUE(table_.Lose(0, "gone").has_value());
  table_.OpenNextEpoch(now_);
  EXPECT_TRUE(table_.fills_as_before());
  EXPECT_THAT(Assign(), testing::ElementsAre(std::pair(1, 0), std::pair(2, 1)));
}

TEST_F(LayoutsTest, RanksOfMpirunFormTheFirstLayoutOnly) {
  for (const int rank : {0, 1, 2}) {
    EXPECT_TRUE(table_.Join({.launch_rank = rank, .launch_world = 4, .backend = "cpu"}, now_).ok());
  }
  EXPECT_FALSE(table_.fills_any());
}

}  // namespace
}  // namespace deeprack::coordinator
