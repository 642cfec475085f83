// Whole runs of the scheduler from a seed: requests come and go, pools are tight, sequences are preempted and
// cancelled within steps. Whatever happens, each stream must be the one its request would have had alone.
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/simulated_cluster.h"
#include "tests/sim/workload.h"

namespace deeprack::coordinator::sim {
namespace {

struct Stream {
  Request request;
  std::vector<TokenId> tokens;
  std::vector<model::PositionLogprobs> prompt_logprobs;
  FinishReason finish = FinishReason::kNone;
  bool cancelled = false;  // it was asked to end
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed)
      : random_(seed), limits_(RandomLimits(random_)), scheduler_(limits_, 1), cluster_(limits_) {}

  void Run(int arrivals) {
    int idle_steps = 0;
    while (arrivals > 0 || !scheduler_.idle()) {
      for (; arrivals > 0 && random_() % 3 == 0; --arrivals) Arrive();
      MaybeCancel();
      const auto plan = scheduler_.Plan();
      if (!plan.has_value()) {
        ASSERT_TRUE(scheduler_.idle()) << "work is left and none of it is planned";
        ASSERT_LT(++idle_steps, 1000);
        continue;
      }
      MaybeCancel();  // within the step
      auto result = cluster_.Execute(*plan);
      ASSERT_TRUE(result.ok()) << result.status();
      auto events = scheduler_.Apply(*result);
      ASSERT_TRUE(events.ok()) << events.status();
      for (TokenEvent& event : *events) Take(std::move(event));
      ASSERT_LT(scheduler_.Stats().steps, 200'000) << "no end in sight";
    }
  }

  void CheckStreams() const {
    for (const auto& [id, stream] : streams_) {
      SCOPED_TRACE(testing::Message() << "sequence " << id);
      const ExpectedOutput expected = RunAlone(limits_, stream.request);
      if (stream.finish == FinishReason::kCancelled) {
        EXPECT_TRUE(stream.cancelled);
        ASSERT_LE(stream.tokens.size(), expected.tokens.size());
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

 private:
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
  const SchedulerLimits limits_;
  Scheduler scheduler_;
  SimulatedCluster cluster_;
  std::map<SequenceId, Stream> streams_;
  SequenceId last_id_ = 0;
};

TEST(SchedulerSimulation, EveryStreamIsTheOneItWouldHaveBeenAlone) {
  ServingStats total;
  for (uint64_t seed = 1; seed <= 250; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Simulation simulation(seed);
    simulation.Run(/*arrivals=*/60);
    simulation.CheckStreams();
    if (testing::Test::HasFailure()) return;  // one seed's story is enough to read
    const ServingStats stats = simulation.stats();
    EXPECT_EQ(stats.blocks_used, 0) << "blocks were lost";
    EXPECT_EQ(stats.running + stats.waiting, 0);
    total.steps += stats.steps;
    total.preemptions += stats.preemptions;
    total.prefix_cache_hits += stats.prefix_cache_hits;
  }
  // The workload must have reached what it is there to reach.
  EXPECT_GT(total.steps, 100'000);
  EXPECT_GT(total.preemptions, 200);
  EXPECT_GT(total.prefix_cache_hits, 10'000);
  RecordProperty("steps", static_cast<int>(total.steps));
  RecordProperty("preemptions", static_cast<int>(total.preemptions));
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

// The simulated cluster itself must notice: plans that are wrong on purpose.
class SimulatedClusterTest : public ::testing::Test {
 protected:
  SimulatedClusterTest()
      : cluster_({.max_step_tokens = 100, .max_sequences = 4, .dp = 1, .blocks_per_dp_rank = 4}) {}
  static model::SequencePlan Chunk(SequenceId id, int32_t start, std::vector<TokenId> tokens,
                                   std::vector<BlockId> table) {
    model::SequencePlan plan;
    plan.sequence = id;
    plan.num_computed = start;
    plan.token_ids = std::move(tokens);
    plan.block_table = std::move(table);
    return plan;
  }
  absl::Status Execute(std::vector<model::SequencePlan> sequences) {
    return cluster_.Execute({.epoch = 1, .step = ++step_, .sequences = std::move(sequences)}).status();
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
  EXPECT_TRUE(Execute({Chunk(2, 0, {9}, {0})}).ok());  // overwrites the start
  EXPECT_FALSE(Execute({Chunk(1, 3, {4}, {0})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesASharedPageBeingWritten) {
  EXPECT_FALSE(Execute({Chunk(1, 0, {1}, {0}), Chunk(2, 0, {1}, {0})}).ok());
}
TEST_F(SimulatedClusterTest, NoticesTooManyTokens) {
  EXPECT_FALSE(Execute({Chunk(1, 0, std::vector<TokenId>(101, 1), {0, 1})}).ok());
}

}  // namespace
}  // namespace deeprack::coordinator::sim
