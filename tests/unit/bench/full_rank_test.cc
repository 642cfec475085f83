// What full_rank_bench times, on the emulated card with a model of R1's form: it runs, and a decode step of
// the Hopper kernels launches no more than is written down here.
#include "bench/gpu/full_rank.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/emulator/stream.h"
#include "tests/unit/engine/hopper_kernels.h"
#include "tests/unit/engine/logits_recorder.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/device/emulated/emulated_device.h"

namespace deeprack::bench {
namespace {

using worker::testing::HopperKernels;
using worker::testing::LogitsRecorder;

std::unique_ptr<FullRank> MakeRank(int32_t ranks, int layers, int dense_layers = 1,
                                   const kernels::KernelSet& kernels = HopperKernels(),
                                   worker::LogitsObserver* observer = nullptr) {
  const worker::testing::TinyModel model = {.dense_layers = dense_layers, .layers = layers, .aligned = true};
  auto rank = FullRank::Create({.config = model.ConfigJson(),
                                .ranks = ranks,
                                .max_context = 256,
                                .max_step_tokens = 64,
                                .max_sequences = 4,
                                .cached_tokens = 64},
                               worker::MakeEmulatedDevice(1, {}, kernels), observer);
  EXPECT_TRUE(rank.ok()) << rank.status();
  return rank.ok() ? *std::move(rank) : nullptr;
}

void ExpectFiniteLogits(FullRank& rank, const LogitsRecorder& recorder) {
  const float* const logits = recorder.Of(0);
  ASSERT_NE(logits, nullptr);
  float smallest = logits[0], largest = logits[0];
  for (int64_t i = 0; i < rank.engine().config().vocab_size; ++i) {
    ASSERT_TRUE(std::isfinite(logits[i])) << i;
    smallest = std::min(smallest, logits[i]);
    largest = std::max(largest, logits[i]);
  }
  EXPECT_GT(largest, smallest);
}

int64_t CallsOf(const OperationTimes& times, const std::string& name) {
  int64_t calls = 0;
  for (const auto& [operation, time] : times) calls += operation.starts_with(name) ? time.calls : 0;
  return calls;
}

TEST(FullRankTest, DecodesAndPrefills) {
  LogitsRecorder logits;
  const auto rank = MakeRank(8, 3, 1, HopperKernels(), &logits);
  ASSERT_NE(rank, nullptr);
  EXPECT_EQ(rank->layers(), 3);
  const auto decode = rank->Decode(3, 100, 1);
  ASSERT_TRUE(decode.ok()) << decode.status();
  EXPECT_GT(decode->seconds, 0);
  EXPECT_GT(decode->kernels, 0) << "from a recording";
  ExpectFiniteLogits(*rank, logits);
  // One more sequence reads its entries, and more experts, of which there are four here and four are chosen.
  const double entries = 70 * 3 * (512 + 64) * 2;
  EXPECT_GT(rank->BytesOfDecode(2, 70) - rank->BytesOfDecode(1, 70), entries);
  EXPECT_NEAR(rank->BytesOfDecode(9, 70) - rank->BytesOfDecode(9, 0), 9 * entries, 1.0);
  EXPECT_LT(rank->BytesOfDecode(4, 0), static_cast<double>(rank->engine().memory().weight_bytes));
  const auto prefill = rank->Prefill(100, 1);
  ASSERT_TRUE(prefill.ok()) << prefill.status();
  EXPECT_EQ(prefill->kernels, 0);
  ExpectFiniteLogits(*rank, logits);

  const auto operations = rank->OperationsOfDecode(3, 100);
  ASSERT_TRUE(operations.ok()) << operations.status();
  EXPECT_EQ(CallsOf(*operations, "mla_attention"), 3);
  EXPECT_EQ(CallsOf(*operations, "gate"), 2);
  EXPECT_EQ(CallsOf(*operations, "peer_exchange"), 4) << "there and back in each layer with experts";
  EXPECT_EQ(rank->Decode(3, 100, 1)->kernels, decode->kernels) << "recorded again after that";
}

// More ranks than reach each other's memory: by the communicator, without a recording.
TEST(FullRankTest, AmongManyRanks) {
  LogitsRecorder logits;
  const auto rank = MakeRank(32, 2, 1, HopperKernels(), &logits);
  ASSERT_NE(rank, nullptr);
  const auto decode = rank->Decode(2, 70, 1);
  ASSERT_TRUE(decode.ok()) << decode.status();
  EXPECT_EQ(decode->kernels, 0);
  ExpectFiniteLogits(*rank, logits);
}

// The choices of a step's rows that this rank's experts were given, in each layer of each step.
std::vector<int32_t> pairs_here;

// All eight ranks', or 32, send this one as many as its own rows make: what a balanced rack gives it.
TEST(FullRankTest, ItsExpertsHaveAsManyRowsAsItSends) {
  static const kernels::KernelSet hopper = HopperKernels();
  kernels::KernelSet counting = hopper;
  counting.group_by_expert = [](const kernels::GroupByExpertArgs& args, const kernels::Execution& execution) {
    hopper.group_by_expert(args, execution);
    const int32_t* const end = args.offsets + args.experts;
    static_cast<kernels::host::Stream*>(execution.stream)->Enqueue([end] { pairs_here.push_back(*end); });
  };
  constexpr int kChoices = 4;  // of a row
  for (const int32_t ranks : {8, 32}) {
    const auto rank = MakeRank(ranks, 2, 1, counting);
    ASSERT_NE(rank, nullptr);
    for (const int32_t sequences : {1, 4}) {
      pairs_here.clear();
      ASSERT_TRUE(rank->Decode(sequences, 70, 1).ok());
      EXPECT_EQ(pairs_here, std::vector<int32_t>(3, sequences * kChoices)) << ranks << " ranks, three steps";
    }
  }
}

// What a decode step launches in each layer. Whoever adds a launch adds it here, and says what for.
//   the layer before's output added, with the norm
//   q_a; its norm; q_b; kv_a
//   the rope of queries and keys, the latent's norm and the cache's entry
//   queries into the latent; attention; its output into values
//   o: its rows rounded to e4m3; the product
//   its output added, with the norm
constexpr int64_t kAttention = 12;
//   gate_up; SwiGLU, rounded; down
constexpr int64_t kFeedForward = 3;
//   the router's product; the choice
//   there: places; rows into the buffer; the exchange; ids and weights out of it
//   rows by expert; these gathered and rounded; gate_up; SwiGLU, rounded; down; the weighted sum
//   back: the exchange
//   the sum of all ranks' and of the shared expert's
constexpr int64_t kExperts = 14;

TEST(FullRankTest, KernelsOfALayer) {
  const auto kernels = [](int layers, int dense_layers) {
    const auto rank = MakeRank(8, layers, dense_layers);
    const auto step = rank->Decode(4, 100, 1);
    EXPECT_TRUE(step.ok()) << step.status();
    return step->kernels;
  };
  const int64_t least = kernels(2, 1);
  EXPECT_GT(least, kAttention + kFeedForward) << "from a recording";
  EXPECT_LE(kernels(3, 1) - least, kAttention + kExperts + kFeedForward);
  EXPECT_LE(kernels(3, 2) - least, kAttention + kFeedForward);
}

}  // namespace
}  // namespace deeprack::bench
