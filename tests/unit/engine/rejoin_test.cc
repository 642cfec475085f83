// Ranks that join a later epoch: some keep their weights, others load.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/collectives/local/local_world.h"
#include "worker/engine/engine.h"

namespace deeprack::worker::testing {
namespace {

constexpr Epoch kFirst = 7;

// The ranks of a layout. Each has its own thread while it joins.
class Ranks {
 public:
  explicit Ranks(const EngineOptions& options)
      : options_(options),
        logits_(static_cast<size_t>(options.layout.world_size())),
        engines_(static_cast<size_t>(options.layout.world_size())) {}

  // Makes a new world: ranks with an engine rejoin, all others load. Returns each rank's status.
  std::vector<absl::Status> Meet(Epoch epoch) {
    const int size = static_cast<int>(engines_.size());
    std::vector<std::unique_ptr<Communicator>> world = MakeLocalWorld(size, absl::Seconds(60));
    std::vector<absl::Status> statuses = ForEach([&](size_t rank) -> absl::Status {
      Communicator* const own = world[rank].get();
      if (engines_[rank] != nullptr) return engines_[rank]->Rejoin(epoch, own);
      EngineOptions options = options_;
      options.rank = static_cast<Rank>(rank);
      options.epoch = epoch;
      auto engine = Engine::Create(
          options, own, [&](int64_t, int64_t) { ++loading_reports_; }, &logits_[rank]);
      if (engine.ok()) engines_[rank] = *std::move(engine);
      return engine.status();
    });
    world_ = std::move(world);  // destroyed only after the engines have left it
    return statuses;
  }

  std::vector<absl::Status> Execute(const WrittenStep& plan) {
    return ForEach([&](size_t rank) {
      return engines_[rank]->Execute(GroupStepOf(plan, options_.layout, static_cast<Rank>(rank))).status();
    });
  }

  void Abort(size_t rank) { world_[rank]->Abort(); }
  void Lose(size_t rank) { engines_[rank].reset(); }
  Engine& engine(size_t rank) { return *engines_[rank]; }
  Communicator* world(size_t rank) { return world_[rank].get(); }
  int loading_reports() const { return loading_reports_; }
  Logits LogitsOf(const WrittenStep& plan) {
    for (const absl::Status& status : Execute(plan)) EXPECT_TRUE(status.ok()) << status;
    for (size_t rank = 0; rank < engines_.size(); ++rank) {
      const float* logits = logits_[rank].Of(0);
      if (logits != nullptr) return {logits, logits + engines_[rank]->config().vocab_size};
    }
    ADD_FAILURE() << "no rank answers";
    return {};
  }

 private:
  template <class F>
  std::vector<absl::Status> ForEach(F f) {
    std::vector<absl::Status> statuses(engines_.size());
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < engines_.size(); ++rank)
      threads.emplace_back([&, rank] { statuses[rank] = f(rank); });
    for (std::thread& thread : threads) thread.join();
    return statuses;
  }

  const EngineOptions options_;
  std::vector<std::unique_ptr<Communicator>> world_;  // must outlive the engines
  std::vector<LogitsRecorder> logits_;                // of each rank; must outlive the engines
  std::vector<std::unique_ptr<Engine>> engines_;
  std::atomic<int> loading_reports_{0};
};

std::string Folder() {
  static const std::string folder = WriteTinyCheckpoint({});
  return folder;
}

WrittenStep Plan(Epoch epoch) {
  const Sequence s = {.id = 1, .tokens = RandomTokens(9, 5), .blocks = {0}};
  return {.epoch = epoch, .step = 4, .sequences = {s.Chunk(0, 9)}};
}

void ExpectOk(const std::vector<absl::Status>& statuses) {
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

struct Case {
  model::Layout layout;
  model::ExpertExchange exchange = model::ExpertExchange::kReplicated;
};

class RejoinTest : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Layouts, RejoinTest,
    ::testing::Values(Case{{.tp = 2, .dp = 1, .ep = 2}}, Case{{.tp = 1, .dp = 1, .ep = 1, .pp = 2}},
                      Case{{.tp = 1, .dp = 2, .ep = 2}, model::ExpertExchange::kAllToAll}));

TEST_P(RejoinTest, SurvivorsKeepTheirWeightsBesideARankThatLoadsAnew) {
  Ranks ranks(TinyOptions(Folder(), DType::kF32, GetParam().layout, GetParam().exchange));
  ExpectOk(ranks.Meet(kFirst));
  const Logits before = ranks.LogitsOf(Plan(kFirst));
  const int32_t blocks = ranks.engine(0).memory().kv_blocks;

  ranks.Abort(1);  // as the loss of rank 1 would
  for (const absl::Status& status : ranks.Execute(Plan(kFirst))) EXPECT_FALSE(status.ok());
  ranks.Lose(1);
  const int reports = ranks.loading_reports();
  ExpectOk(ranks.Meet(kFirst + 1));
  EXPECT_EQ(ranks.engine(0).memory().kv_blocks, blocks);
  EXPECT_EQ(ranks.LogitsOf(Plan(kFirst + 1)), before);
  EXPECT_GT(ranks.loading_reports(), reports);  // only rank 1 has loaded

  // Then all ranks rejoin: nothing is loaded.
  const int after_loss = ranks.loading_reports();
  ExpectOk(ranks.Meet(kFirst + 5));
  EXPECT_EQ(ranks.loading_reports(), after_loss);
  EXPECT_EQ(ranks.LogitsOf(Plan(kFirst + 5)), before);
  for (const absl::Status& status : ranks.Execute(Plan(kFirst + 1)))
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST(RejoinTest, ARankThatCannotLoadKeepsTheOthersOut) {
  Ranks ranks(TinyOptions(Folder(), DType::kF32, {.tp = 2, .dp = 1, .ep = 2}));
  ExpectOk(ranks.Meet(kFirst));
  const Logits before = ranks.LogitsOf(Plan(kFirst));
  auto world = MakeLocalWorld(2, absl::Seconds(60));
  absl::Status missing;
  std::thread peer([&] {
    EngineOptions options = TinyOptions("/nonexistent", DType::kF32, {.tp = 2, .dp = 1, .ep = 2});
    options.rank = 1;
    missing = Engine::Create(options, world[1].get(), {}).status();
  });
  const absl::Status own = ranks.engine(0).Rejoin(kFirst + 1, world[0].get());
  peer.join();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound) << missing;
  EXPECT_EQ(own.code(), absl::StatusCode::kFailedPrecondition) << own;
  EXPECT_EQ(own.message().find("rank 1 on "), 0u) << own;
  EXPECT_NE(own.message().find(" cannot load the model"), std::string::npos) << own;
  EXPECT_EQ(ranks.Execute(Plan(kFirst + 1))[0].code(), absl::StatusCode::kFailedPrecondition);
  // With a peer that can load, the rank continues.
  ExpectOk(ranks.Meet(kFirst + 2));
  EXPECT_EQ(ranks.LogitsOf(Plan(kFirst + 2)), before);
}

TEST(RejoinTest, RefusesEarlierEpochsAndOtherWorlds) {
  Ranks ranks(TinyOptions(Folder()));
  ExpectOk(ranks.Meet(kFirst));
  EXPECT_EQ(ranks.engine(0).Rejoin(kFirst, ranks.world(0)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ranks.engine(0).Rejoin(kFirst - 1, ranks.world(0)).code(), absl::StatusCode::kFailedPrecondition);
  const auto two = MakeLocalWorld(2, absl::Seconds(1));
  EXPECT_EQ(ranks.engine(0).Rejoin(kFirst + 1, two[0].get()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(ranks.Execute(Plan(kFirst))[0].ok());  // no refused call changed anything
}

TEST(RejoinTest, AnEngineSuitsWhatItWasMadeOf) {
  const std::string folder = WriteTinyCheckpoint({});
  EngineOptions options = TinyOptions(folder);
  options.epoch = kFirst;
  const auto engine = Engine::Create(options, nullptr, {});
  ASSERT_TRUE(engine.ok()) << engine.status();
  options.epoch = kFirst + 3;
  EXPECT_TRUE((*engine)->Suits(options));
  options.packed.folder = "elsewhere";  // a setting of the worker, which a load does not contain
  options.decode_graphs = true;
  EXPECT_TRUE((*engine)->Suits(options));
  EngineOptions other = options;
  other.max_sequences += 1;
  EXPECT_FALSE((*engine)->Suits(other));
  other = options;
  other.compute = DType::kBF16;
  EXPECT_FALSE((*engine)->Suits(other));
  other = options;
  other.kv_cache = DType::kF8E4M3;
  EXPECT_FALSE((*engine)->Suits(other));
  // Another checkpoint in the same folder.
  const auto config = std::filesystem::path(folder) / "config.json";
  std::filesystem::last_write_time(config,
                                   std::filesystem::last_write_time(config) + std::chrono::seconds(2));
  EXPECT_FALSE((*engine)->Suits(options));
}

}  // namespace
}  // namespace deeprack::worker::testing
