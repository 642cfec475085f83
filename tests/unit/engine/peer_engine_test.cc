// Ranks that sum and exchange rows through each other's memory give the bits of every other exchange, also
// from recordings. The cards are emulated; real ranks need two cards with NVLink between them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "kernels/cuda/sm90/peers.h"
#include "tests/unit/engine/card.h"
#include "tests/unit/engine/hopper_kernels.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/collectives/peer/peer_group.h"
#include "worker/device/cpu_device.h"
#include "worker/device/emulated/emulated_device.h"

namespace deeprack::worker::testing {
namespace {

std::atomic<int> sums, exchanges, roundings;

std::unique_ptr<Device> PeerCard(EmulatedDeviceEvents events = {}) {
  kernels::KernelSet kernels = kernels::CardKernels();
  kernels.sums_among_peers = kernels.exchanges_among_peers = true;
  kernels.peer_sum = [](const kernels::PeerSumArgs& args, const kernels::Execution& execution) {
    ++sums;
    kernels::sm90::PeerSum(args, execution);
  };
  kernels.peer_exchange = [](const kernels::PeerExchangeArgs& args, const kernels::Execution& execution) {
    ++exchanges;
    kernels::sm90::PeerExchange(args, execution);
  };
  return MakeEmulatedDevice(1, std::move(events), kernels);
}
// `kernels` must outlive the device.
Rack::MakeDevice CardsWith(const kernels::KernelSet& kernels) {
  return [&kernels] { return MakeEmulatedDevice(1, {}, kernels); };
}
std::unique_ptr<Device> Generic() { return MakeCpuDevice(1, *kernels::AvailableCpuKernels().front()); }

std::unique_ptr<Rack> MakeRack(const EngineOptions& options, const Rack::MakeDevice& make,
                               absl::Duration timeout = absl::Seconds(60)) {
  auto rack = Rack::Create(options, make, timeout);
  EXPECT_TRUE(rack.ok()) << rack.status();
  return *std::move(rack);
}

constexpr auto kReplicated = model::ExpertExchange::kReplicated;
constexpr auto kAllToAll = model::ExpertExchange::kAllToAll;

EngineOptions Options(const model::Layout& layout, model::ExpertExchange exchange = kReplicated,
                      bool grouped_query = false) {
  EngineOptions options = TinyOptions(WriteTinyCheckpoint({.layers = 3, .grouped_query = grouped_query}),
                                      DType::kBF16, layout, exchange);
  options.max_step_tokens = 200;
  return options;
}

Sequence Text(int id, int64_t tokens) {
  return {.id = SequenceId(id),
          .tokens = RandomTokens(tokens, 40 + static_cast<uint32_t>(id)),
          .blocks = {BlockId(3 * id), BlockId(3 * id + 1), BlockId(3 * id + 2)}};
}

// A prefill too large for the peers' memory, a prefill that fits, and decodes.
std::vector<WrittenStep> Steps(int32_t dp = 1) {
  Sequence a = Text(0, 152), b = Text(1, 9);
  b.dp_rank = dp - 1;
  a.prompt_size = 150;
  b.prompt_size = 8;
  return {{.epoch = kEpoch, .sequences = {a.Chunk(0, 150), b.Chunk(0, 5)}},
          {.epoch = kEpoch, .sequences = {b.Chunk(5, 8), a.Chunk(150, 151)}},
          {.epoch = kEpoch, .sequences = {a.Chunk(151, 152), b.Chunk(8, 9)}}};
}

void ExpectTheSame(Rack& actual, Rack& expected, int32_t dp = 1) {
  for (const WrittenStep& plan : Steps(dp)) EXPECT_EQ(actual.LogitsOf(plan), expected.LogitsOf(plan));
}

TEST(PeerEngineTest, GivesTheBitsOfTheCommunicator) {
  for (const model::Layout& layout :
       {model::Layout{.tp = 2, .ep = 2}, model::Layout{.tp = 2, .dp = 2, .ep = 4},
        model::Layout{.tp = 2, .pp = 2}}) {
    sums = 0;
    const auto cards = MakeRack(Options(layout), [] { return PeerCard(); });
    ExpectTheSame(*cards, *MakeRack(Options(layout), Generic));
    EXPECT_GT(sums, 0);
  }
}

// Also if one group has rows and the other has none.
TEST(PeerEngineTest, ExchangesGiveTheBitsOfTheCommunicator) {
  for (const model::Layout& layout :
       {model::Layout{.dp = 2, .ep = 2}, model::Layout{.tp = 2, .dp = 2, .ep = 2},
        model::Layout{.dp = 4, .ep = 4}}) {
    exchanges = 0;
    const EngineOptions options = Options(layout, kAllToAll);
    const auto cards = MakeRack(options, [] { return PeerCard(); });
    const auto cpu = MakeRack(options, Generic);
    ExpectTheSame(*cards, *cpu, layout.dp);
    const int of_steps = exchanges;
    EXPECT_GT(of_steps, 0);
    const WrittenStep one = {.epoch = kEpoch, .sequences = {Text(2, 9).Chunk(0, 7)}};
    EXPECT_EQ(cards->LogitsOf(one), cpu->LogitsOf(one));
    EXPECT_GT(exchanges, of_steps);
  }
}

TEST(PeerEngineTest, OneRankWithoutThemAndNobodyUsesThem) {
  sums = 0;
  std::atomic<int> made{0};
  const auto cards =
      MakeRack(Options({.tp = 2, .ep = 2}), [&] { return made++ == 0 ? MakeCard(nullptr) : PeerCard(); });
  ExpectTheSame(*cards, *MakeRack(Options({.tp = 2, .ep = 2}), Generic));
  EXPECT_EQ(sums, 0);
}

// A block's sum and the norm after it, as one launch and as two, also if the norm rounds its rows for fp8
// products.
TEST(PeerEngineTest, FusedWithTheNormTheBitsStay) {
  kernels::KernelSet fused = HopperKernels();
  kernels::KernelSet apart = fused;
  apart.peer_add_rms_norm = nullptr;
  ASSERT_NE(fused.peer_add_rms_norm, nullptr);
  static void (*const of_hopper)(const kernels::PeerAddRmsNormArgs&, const kernels::Execution&) =
      fused.peer_add_rms_norm;
  fused.peer_add_rms_norm = [](const kernels::PeerAddRmsNormArgs& args, const kernels::Execution& execution) {
    ++sums;
    roundings += args.norm.rounded != nullptr;
    of_hopper(args, execution);
  };
  for (const bool aligned : {false, true}) {
    EngineOptions options = Options({.tp = 2, .ep = 2});
    if (aligned) {
      options.model_path = WriteTinyCheckpoint({.layers = 2, .aligned = true});
      ASSERT_NE(fused.reads_rounded, nullptr);
    }
    sums = roundings = 0;
    ExpectTheSame(*MakeRack(options, CardsWith(fused)), *MakeRack(options, CardsWith(apart)));
    EXPECT_GT(sums, 0);
    EXPECT_EQ(roundings > 0, aligned);
  }
}

// Rows sent as e4m3, through peers' memory and through a communicator.
TEST(PeerEngineTest, RoundedRowsGiveTheSameBitsByBothWays) {
  EngineOptions options = Options({.tp = 2, .dp = 2, .ep = 4}, kAllToAll);
  options.model_path = WriteTinyCheckpoint({.layers = 2, .aligned = true});
  kernels::KernelSet among_peers = HopperKernels();
  ASSERT_NE(among_peers.dispatches_rounded, nullptr);
  among_peers.peer_exchange = [](const kernels::PeerExchangeArgs& args, const kernels::Execution& execution) {
    ++exchanges;
    kernels::sm90::PeerExchange(args, execution);
  };
  kernels::KernelSet by_communicator = among_peers;
  by_communicator.peer_exchange = nullptr;
  by_communicator.exchanges_among_peers = false;
  exchanges = 0;
  ExpectTheSame(*MakeRack(options, CardsWith(among_peers)), *MakeRack(options, CardsWith(by_communicator)),
                2);
  EXPECT_GT(exchanges, 0);

  // A rank whose kernels would read the sent rows in another form is found before anything is loaded.
  std::atomic<int> made{0};
  kernels::KernelSet wide = by_communicator;
  wide.dispatches_rounded = nullptr;
  const auto rack = Rack::Create(
      options, [&] { return MakeEmulatedDevice(1, {}, made++ == 0 ? wide : by_communicator); },
      absl::Seconds(60));
  EXPECT_EQ(rack.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(rack.status().message()), ::testing::HasSubstr("their kernels differ"));
}

struct Recorded {
  model::Layout layout;
  model::ExpertExchange exchange = kReplicated;
  bool grouped_query = false;
};

TEST(PeerEngineTest, DecodesOfSeveralRanksRunFromRecordings) {
  for (const Recorded& c : {Recorded{{.tp = 2, .ep = 2}}, Recorded{{.tp = 2, .ep = 2}, kReplicated, true},
                            Recorded{{.dp = 2, .ep = 2}, kAllToAll}}) {
    EngineOptions options = Options(c.layout, c.exchange, c.grouped_query);
    const auto cpu = MakeRack(options, Generic);
    options.decode_graphs = true;
    std::atomic<int> recorded{0}, replayed{0};
    const auto cards = MakeRack(options, [&] {
      return PeerCard({.graph_recorded = [&] { ++recorded; }, .graph_replayed = [&] { ++replayed; }});
    });
    std::vector<Sequence> texts = {Text(0, 80), Text(1, 30), Text(2, 30)};
    texts[1].dp_rank = c.layout.dp - 1;
    std::vector<int64_t> computed = {60, 4, 9};
    for (size_t i = 0; i < texts.size(); ++i) texts[i].prompt_size = static_cast<int32_t>(computed[i]);
    Epoch epoch = kEpoch;
    const auto expect_same = [&](WrittenStep plan) {
      plan.epoch = epoch;
      EXPECT_EQ(cards->LogitsOf(plan), cpu->LogitsOf(plan));
    };
    const auto decode = [&](const std::vector<size_t>& batch) {
      WrittenStep plan;
      for (const size_t i : batch) {
        plan.sequences.push_back(texts[i].Chunk(computed[i], computed[i] + 1));
        ++computed[i];
      }
      expect_same(plan);
    };
    for (size_t i = 0; i < texts.size(); ++i) expect_same({.sequences = {texts[i].Chunk(0, computed[i])}});
    for (int i = 0; i < 3; ++i) decode({0, 1, 2});
    EXPECT_EQ(recorded, 2) << "one of each rank";
    EXPECT_EQ(replayed, 4);
    // A new world has other addresses.
    ++epoch;
    ASSERT_TRUE(cards->Rejoin(epoch).ok());
    ASSERT_TRUE(cpu->Rejoin(epoch).ok());
    for (size_t i = 0; i < texts.size(); ++i) expect_same({.sequences = {texts[i].Chunk(0, computed[i])}});
    for (int i = 0; i < 3; ++i) decode({2, 0, 1});
    EXPECT_EQ(recorded, 4);
    EXPECT_EQ(replayed, 8);
    // With two groups: a group without sequences takes part too.
    for (int i = 0; i < 2; ++i) decode({2, 0});
  }
}

// Steps with more rows than the buffers' slots go through the communicator and are not recorded.
TEST(PeerEngineTest, StepsTooLargeForTheSlotsAreNotRecorded) {
  EngineOptions options = Options({.dp = 4, .ep = 4}, kAllToAll);
  options.max_step_tokens = 6;
  const auto cpu = MakeRack(options, Generic);
  options.decode_graphs = true;
  std::atomic<int> recorded{0};
  const auto cards = MakeRack(options, [&] { return PeerCard({.graph_recorded = [&] { ++recorded; }}); });
  const std::vector<Sequence> texts = {Text(0, 9), Text(1, 9)};
  for (int64_t computed = 2; computed < 6; ++computed) {
    WrittenStep plan = {.epoch = kEpoch};
    for (const Sequence& text : texts)
      plan.sequences.push_back(text.Chunk(computed == 2 ? 0 : computed, computed + 1));
    EXPECT_EQ(cards->LogitsOf(plan), cpu->LogitsOf(plan));
  }
  EXPECT_EQ(recorded, 0);
}

TEST(PeerEngineTest, ARankThatStaysAwayEndsTheEpochAndTheNextOneServes) {
  const EngineOptions options = Options({.tp = 2, .ep = 2});
  const auto cards = MakeRack(
      options, [] { return PeerCard(); }, absl::Seconds(10));
  WrittenStep plan = Steps()[1];
  plan.sequences.erase(plan.sequences.begin() + 1);
  plan.sequences[0] = Text(1, 9).Chunk(0, 8);
  const auto start = std::chrono::steady_clock::now();
  const auto alone = cards->engine(0).Execute(GroupStepOf(plan, options.layout, 0));
  EXPECT_EQ(alone.status().code(), absl::StatusCode::kDeadlineExceeded) << alone.status();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  plan.epoch = kEpoch + 1;
  ASSERT_TRUE(cards->Rejoin(plan.epoch).ok());
  const auto cpu = MakeRack(options, Generic);
  ASSERT_TRUE(cpu->Rejoin(plan.epoch).ok());
  EXPECT_EQ(cards->LogitsOf(plan), cpu->LogitsOf(plan));
}

// The ranks take exactly the bytes that the agreement on pages counts.
TEST(PeerEngineTest, ItsMemoryIsCounted) {
  const EngineOptions options = Options({.tp = 2, .dp = 2, .ep = 2}, kAllToAll);
  const auto with = MakeRack(options, [] { return PeerCard(); });
  const auto without = MakeRack(options, [] { return MakeCard(nullptr); });
  const int64_t hidden = with->engine(0).config().hidden_size;
  EXPECT_EQ(with->engine(0).memory().workspace_bytes - without->engine(0).memory().workspace_bytes,
            sizing::PeerAreaBytes(sizing::PlacesOfSums(kernels::kMaxPeerRows, hidden)) +
                sizing::PeerAreaBytes(sizing::PlacesOfExchanges(4, kernels::kMaxPeerSlots, hidden * 4)));
}

}  // namespace
}  // namespace deeprack::worker::testing
