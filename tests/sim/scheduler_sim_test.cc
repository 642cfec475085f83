// Whole runs of the scheduler from a seed. Requests come and go, pools are tight, sequences are preempted and
// cancelled within steps, one or two steps are under way, ranks are lost between steps and within steps,
// sequences are refused, numbers are not finite. In every run, each stream must equal the stream that its
// request has when it runs alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/simulated_cluster.h"
#include "tests/sim/workload.h"
#include "tests/unit/scheduler/scheduler_peer.h"

namespace deeprack::coordinator::sim {
namespace {

struct Stream {
  Request request;
  std::vector<TokenId> tokens;
  std::vector<model::PositionLogprobs> prompt_logprobs;
  FinishReason finish = FinishReason::kNone;
  bool cancelled = false;  // the request was cancelled
  int broken_steps = 0;    // broken steps since the last decode
  bool failed = false;     // a plan was refused for it, or its logits were not finite
};

constexpr int64_t kMostLosses = 60;

class Simulation {
 public:
  // On average one step of `steps_per_loss` is broken, and as many losses come between steps. 0: no losses.
  explicit Simulation(uint64_t seed, uint64_t steps_per_loss = 0)
      : random_(seed),
        steps_per_loss_(steps_per_loss),
        limits_(RandomLimits(random_)),
        scheduler_(limits_, 1),
        cluster_(limits_) {}

  // This sequence breaks every step that computes it.
  void MakeDeadly(SequenceId id) { deadly_ = id; }

  // Each plan looks up the head of the queue anew.
  void ForgetPrefixes() { forget_prefixes_ = true; }

  // On average one step of `steps` has a sequence that is refused, or has a row that is not finite.
  void MakeFaulty(uint64_t steps) { steps_per_fault_ = steps; }

  void Run(int arrivals) {
    int idle_steps = 0;
    while (arrivals > 0 || !scheduler_.idle() || !under_way_.empty()) {
      for (; arrivals > 0 && random_() % 3 == 0; --arrivals) Arrive();
      MaybeCancel();
      if (IsLost() && MayLose()) Lose();
      while (auto plan = Plan()) {
        NoteSlots(*plan);
        under_way_.push_back(*std::move(plan));
        MaybeCancel();  // while the step is under way
      }
      if (under_way_.empty()) {
        ASSERT_TRUE(scheduler_.idle()) << "work is left and none of it is planned";
        ASSERT_LT(++idle_steps, 1000);
        continue;
      }
      MaybeCancel();
      const auto plan = cluster_.Begin(under_way_.front());
      ASSERT_TRUE(plan.ok()) << plan.status();
      auto result = cluster_.Execute(*plan);
      ASSERT_TRUE(result.ok()) << result.status();
      if (Breaks(*plan)) {
        Lose();
        continue;
      }
      if (IsFaulty()) Spoil(*plan, *result);
      cluster_.Accept(result->Joined());
      auto events = scheduler_.Apply(result->Joined());
      ASSERT_TRUE(events.ok()) << events.status();
      under_way_.pop_front();
      most_under_way_ = std::max(most_under_way_, std::ssize(under_way_) + 1);
      NoteDecodes(*plan);
      for (TokenEvent& event : *events) Take(std::move(event));
      ASSERT_LT(scheduler_.Stats().steps, 200'000) << "no end in sight";
    }
  }

  void CheckStreams() const {
    for (const auto& [id, stream] : streams_) {
      SCOPED_TRACE(testing::Message() << "sequence " << id);
      const ExpectedOutput expected = RunAlone(limits_, stream.request);
      if (id == deadly_) {
        EXPECT_TRUE(stream.finish == FinishReason::kError || stream.cancelled);
        continue;
      }
      if (stream.finish == FinishReason::kCancelled) {
        EXPECT_TRUE(stream.cancelled);
        ASSERT_LE(stream.tokens.size(), expected.tokens.size());
        EXPECT_TRUE(std::equal(stream.tokens.begin(), stream.tokens.end(), expected.tokens.begin()));
        continue;
      }
      if (stream.failed) {
        EXPECT_TRUE(stream.finish == FinishReason::kError);
        ASSERT_LT(stream.tokens.size(), std::max<size_t>(expected.tokens.size(), 1));
        EXPECT_TRUE(std::equal(stream.tokens.begin(), stream.tokens.end(), expected.tokens.begin()));
        continue;
      }
      EXPECT_EQ(stream.finish, expected.finish);
      EXPECT_EQ(stream.tokens, expected.tokens);
      CheckPromptLogprobs(stream);
    }
  }

  ServingStats stats() const { return scheduler_.Stats(); }
  uint64_t digest() const { return cluster_.digest(); }
  int64_t losses() const { return losses_; }
  int64_t most_under_way() const { return most_under_way_; }
  int64_t faults() const { return faults_; }

 private:
  // The number of losses is limited: a prompt that needs more steps than lie between two losses would never
  // finish.
  bool IsLost() { return steps_per_loss_ > 0 && losses_ < kMostLosses && random_() % steps_per_loss_ == 0; }

  std::optional<model::StepPlan> Plan() {
    if (forget_prefixes_) SchedulerPeer::ForgetFoundPrefixes(scheduler_);
    return scheduler_.Plan();
  }

  void NoteSlots(const model::StepPlan& plan) {
    for (size_t group = 0; group < plan.groups.size(); ++group) {
      for (const model::OpenedSequence& opened : plan.groups[group].opened) {
        slots_[{group, opened.slot}] = opened.sequence;
      }
      for (const model::SequenceRows& rows : plan.groups[group].rows) {
        computed_in_[plan.header.step].insert(slots_.at({group, rows.slot}));
      }
    }
  }

  std::set<SequenceId> UnderWay() const {
    std::set<SequenceId> ids;
    for (const model::StepPlan& plan : under_way_) {
      const std::set<SequenceId>& of_step = computed_in_.at(plan.header.step);
      ids.insert(of_step.begin(), of_step.end());
    }
    return ids;
  }

  // A random loss is never a third one in a row for any sequence. The scheduler would end a sequence that was
  // alone in its step.
  bool MayLose() const {
    const std::set<SequenceId> ids = UnderWay();
    return std::ranges::all_of(ids, [this](SequenceId id) { return streams_.at(id).broken_steps < 2; });
  }

  bool Breaks(const ResolvedPlan& plan) {
    for (const SequencePlan& sequence : plan.sequences) {
      if (sequence.sequence == deadly_ && !sequence.token_ids.empty()) return true;
    }
    return IsLost() && MayLose();
  }

  // A sequence that decodes has replayed what the losses took from it.
  void NoteDecodes(const ResolvedPlan& plan) {
    for (const SequencePlan& sequence : plan.sequences) {
      const bool decodes =
          sequence.sample && sequence.token_ids.size() == 1 && sequence.num_computed >= sequence.prompt_size;
      if (decodes) streams_.at(sequence.sequence).broken_steps = 0;
    }
  }

  void Lose() {
    ++losses_;
    for (const SequenceId id : UnderWay()) ++streams_.at(id).broken_steps;
    under_way_.clear();
    computed_in_.clear();
    for (TokenEvent& event : scheduler_.Interrupt(absl::UnavailableError("a rank was lost"))) {
      Take(std::move(event));
    }
    EXPECT_EQ(scheduler_.Stats().blocks_used, 0);
    MaybeCancel();  // while there are no ranks
    cluster_.Replace();
    for (TokenEvent& event : scheduler_.Resume(++epoch_, limits_.blocks_per_dp_rank, limits_.dp))
      Take(std::move(event));
  }

  bool IsFaulty() { return steps_per_fault_ > 0 && random_() % steps_per_fault_ == 0; }

  // A sequence of the step is refused by its ranks, or its logits are not finite.
  void Spoil(const ResolvedPlan& plan, ResolvedResult& result) {
    const size_t i = random_() % plan.sequences.size();
    const SequencePlan& sequence = plan.sequences[i];
    const bool has_outcome = sequence.sample || sequence.prompt_logprobs >= 0;
    Stream& stream = streams_.at(sequence.sequence);
    if (!has_outcome || stream.finish != FinishReason::kNone) return;
    ++faults_;
    stream.failed = true;
    result.sequences[i] = {.sequence = sequence.sequence};
    if (random_() % 2 == 0) {
      result.sequences[i].refused = "no such token";
    } else {
      result.sequences[i].non_finite = model::NonFiniteRow{.position = sequence.num_computed};
    }
  }

  void Arrive() {
    const SequenceId id = ++last_id_;
    Request request = RandomRequest(limits_, random_);
    cluster_.Expect(id, static_cast<int32_t>(request.prompt.size()));
    streams_[id].request = request;
    ASSERT_TRUE(scheduler_.Add(id, std::move(request)).ok());
  }

  void MaybeCancel() {
    if (last_id_ == 0 || random_() % 40 != 0) return;
    const SequenceId id = last_id_ - random_() % std::min<uint64_t>(last_id_, 10);
    streams_[id].cancelled = true;
    if (auto event = scheduler_.Cancel(id)) Take(*std::move(event));
  }

  void Take(TokenEvent event) {
    Stream& stream = streams_.at(event.sequence);
    EXPECT_EQ(stream.finish, FinishReason::kNone)
        << "sequence " << event.sequence << " had its last event before";
    stream.finish = event.finish;
    if (event.has_token) stream.tokens.push_back(event.token);
    for (auto& entry : event.prompt_logprobs) stream.prompt_logprobs.push_back(std::move(entry));
    EXPECT_LT(event.cached_tokens, static_cast<int32_t>(stream.request.prompt.size()));
  }

  static void CheckPromptLogprobs(const Stream& stream) {
    const bool asked = stream.request.prompt_logprobs >= 0;
    ASSERT_EQ(stream.prompt_logprobs.size(), asked ? stream.request.prompt.size() - 1 : 0);
    for (size_t i = 0; i < stream.prompt_logprobs.size(); ++i) {
      EXPECT_EQ(stream.prompt_logprobs[i].chosen.token, stream.request.prompt[i + 1]);
      EXPECT_EQ(stream.prompt_logprobs[i].chosen.logprob, -static_cast<float>(i + 1));
    }
  }

  std::mt19937_64 random_;
  const uint64_t steps_per_loss_;
  const SchedulerLimits limits_;
  Scheduler scheduler_;
  SimulatedCluster cluster_;
  std::map<SequenceId, Stream> streams_;
  std::deque<model::StepPlan> under_way_;
  int64_t most_under_way_ = 0;
  std::map<std::pair<size_t, SequenceSlot>, SequenceId> slots_;  // by dp group
  std::map<StepId, std::set<SequenceId>> computed_in_;           // of this epoch's steps
  SequenceId last_id_ = 0;
  SequenceId deadly_ = 0;
  Epoch epoch_ = 1;
  int64_t losses_ = 0;
  bool forget_prefixes_ = false;
  uint64_t steps_per_fault_ = 0;
  int64_t faults_ = 0;
};

TEST(SchedulerSimulation, EveryStreamIsTheOneItWouldHaveBeenAlone) {
  ServingStats total;
  int64_t most_under_way = 0;
  for (uint64_t seed = 1; seed <= 250; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation simulation(seed);
    simulation.Run(/*arrivals=*/60);
    simulation.CheckStreams();
    if (testing::Test::HasFailure()) return;  // one failing seed is enough
    const ServingStats stats = simulation.stats();
    EXPECT_EQ(stats.blocks_used, 0) << "blocks were lost";
    EXPECT_EQ(stats.running + stats.waiting, 0);
    most_under_way = std::max(most_under_way, simulation.most_under_way());
    total.steps += stats.steps;
    total.preemptions += stats.preemptions;
    total.prefix_cache_hits += stats.prefix_cache_hits;
  }
  // The runs must have had enough steps, preemptions and cache hits to test them.
  EXPECT_GT(total.steps, 100'000);
  EXPECT_GT(total.preemptions, 200);
  EXPECT_GT(total.prefix_cache_hits, 10'000);
  EXPECT_EQ(most_under_way, 2);
  RecordProperty("steps", static_cast<int>(total.steps));
  RecordProperty("preemptions", static_cast<int>(total.preemptions));
}

// What is kept of earlier lookups saves time and changes no plan.
TEST(SchedulerSimulation, KeptPrefixesChangeNoPlan) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Simulation keeping(seed, /*steps_per_loss=*/60), forgetting(seed, /*steps_per_loss=*/60);
    forgetting.ForgetPrefixes();
    keeping.Run(/*arrivals=*/60);
    forgetting.Run(/*arrivals=*/60);
    ASSERT_EQ(keeping.digest(), forgetting.digest()) << "seed " << seed;
  }
}

TEST(SchedulerSimulation, LostRanksChangeNoStream) {
  int64_t losses = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation simulation(seed, /*steps_per_loss=*/seed % 2 == 0 ? 8 : 60);
    simulation.Run(/*arrivals=*/60);
    simulation.CheckStreams();
    EXPECT_EQ(simulation.stats().blocks_used, 0) << "blocks were lost";
    EXPECT_EQ(simulation.stats().running + simulation.stats().waiting, 0);
    if (testing::Test::HasFailure()) return;
    losses += simulation.losses();
  }
  EXPECT_GT(losses, 5'000);
  RecordProperty("losses", static_cast<int>(losses));
}

TEST(SchedulerSimulation, ADeadlyRequestHarmsOnlyItself) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation simulation(seed);
    simulation.MakeDeadly(1 + seed % 40);
    simulation.Run(/*arrivals=*/40);
    simulation.CheckStreams();
    EXPECT_LE(simulation.losses(), 3);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(SchedulerSimulation, AFaultEndsOneStreamAndChangesNoOther) {
  int64_t faults = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation simulation(seed, /*steps_per_loss=*/seed % 2 == 0 ? 60 : 0);
    simulation.MakeFaulty(/*steps=*/40);
    simulation.Run(/*arrivals=*/60);
    simulation.CheckStreams();
    EXPECT_EQ(simulation.stats().blocks_used, 0) << "blocks were lost";
    EXPECT_EQ(simulation.stats().running + simulation.stats().waiting, 0);
    EXPECT_EQ(simulation.stats().plans_refused + simulation.stats().non_finite_logits, simulation.faults());
    if (testing::Test::HasFailure()) return;
    faults += simulation.faults();
  }
  EXPECT_GT(faults, 600);
}

TEST(SchedulerSimulation, OneSeedIsOneRun) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Simulation once(seed), again(seed);
    once.Run(40);
    again.Run(40);
    EXPECT_EQ(once.digest(), again.digest());
  }
  Simulation one(1), two(2);
  one.Run(40);
  two.Run(40);
  EXPECT_NE(one.digest(), two.digest());
}

// Tests of the simulated cluster: it must reject plans that are wrong.
class SimulatedClusterTest : public ::testing::Test {
 protected:
  SimulatedClusterTest()
      : cluster_({.max_step_tokens = 100,
                  .max_sequences = 4,
                  .dp = 1,
                  .blocks_per_dp_rank = 4,
                  .prefill_attention = model::PrefillAttention::kExpanded}) {}
  static SequencePlan Chunk(SequenceId id, int32_t start, std::vector<TokenId> tokens,
                            std::vector<BlockId> table, int32_t prompt_size = 2) {
    SequencePlan plan;
    plan.sequence = id;
    plan.prompt_size = prompt_size;
    plan.num_computed = start;
    plan.token_ids = std::move(tokens);
    plan.block_table = std::move(table);
    return plan;
  }
  absl::Status Execute(std::vector<SequencePlan> sequences) {
    return cluster_.Execute({.epoch = 1, .step = ++step_, .sequences = std::move(sequences), .plan = {}})
        .status();
  }
  SimulatedCluster cluster_;
  StepId step_ = 0;
};

TEST_F(SimulatedClusterTest, AcceptsAContinuedSequence) {
  EXPECT_TRUE(Execute({Chunk(1, 0, {1, 2, 3}, {2})}).ok());
  EXPECT_TRUE(Execute({Chunk(1, 3, {4}, {2})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesAReadOfWhatWasNeverWritten) {
  EXPECT_FALSE(Execute({Chunk(1, 3, {4}, {2})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesAnotherSequencesPast) {
  EXPECT_TRUE(Execute({Chunk(1, 0, {1, 2, 3}, {0})}).ok());
  EXPECT_TRUE(Execute({Chunk(2, 0, {9}, {0})}).ok());  // overwrites the first sequence's start
  EXPECT_FALSE(Execute({Chunk(1, 3, {4}, {0})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesOutputInAPrompt) {
  EXPECT_TRUE(Execute({Chunk(1, 0, {1, 2, 3}, {0}, 2)}).ok());
  EXPECT_FALSE(Execute({Chunk(2, 3, {9}, {0}, 4)}).ok());
}
TEST_F(SimulatedClusterTest, NoticesASharedPageBeingWritten) {
  EXPECT_FALSE(Execute({Chunk(1, 0, {1}, {0}), Chunk(2, 0, {1}, {0})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesTooManyTokens) {
  EXPECT_FALSE(Execute({Chunk(1, 0, std::vector<TokenId>(101, 1), {0, 1})}).ok());
}

}  // namespace
}  // namespace deeprack::coordinator::sim
