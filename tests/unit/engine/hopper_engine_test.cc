// The whole engine with the Hopper kernels, against the CPU's. In CI they run on the emulation of
// kernels/cuda/sm90/host (emulated_card.cc); `make gpu-check` runs the same on a card (tests/gpu).
//
// Tolerances, of the root mean square of the logits. bf16, 0.012: two orders of fp32 sums rounded to bf16
// between operations, and attention's weights in bf16; with a KV cache in fp8 0.04, as its queries and
// weights are e4m3 where the CPU's are not. fp8, 0.25 and with such a cache 0.35: activations are rounded to
// e4m3 before each product, 2.6% of a product in the mean square (kernels/cuda/hopper/operations.h), and a
// token's logits are ten products deep. Against a CPU that rounds them too, 0.15 and 0.2: not less, as a last
// bit of bf16 between two products moves a value over a border of e4m3 now and then. Experts are chosen
// alike: another one would show as more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/e4m3.h"
#include "checkpoint/checkpoint_reader.h"
#include "kernels/api/kernel_set.h"
#include "model/budget/packed_tensors.h"
#include "tests/unit/engine/card.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/device/cpu_device.h"
#include "worker/weights/weight_loader.h"

namespace deeprack::worker::testing {
namespace {

using kernels::Matrix;

constexpr Epoch kEpoch = 7;

std::unique_ptr<Device> Hopper() { return MakeHopperCard(nullptr); }
std::unique_ptr<Device> Generic() { return MakeCpuDevice(1, *kernels::AvailableCpuKernels().front()); }

// x as the fp8 products read it, every 128 columns of a row rounded to e4m3 with a scale of their own.
Matrix Rounded(const Matrix& x, std::vector<float>& values) {
  constexpr int64_t kBlock = 128;
  values.assign(static_cast<size_t>(x.rows * x.cols), 0.0f);
  for (int64_t row = 0; row < x.rows; ++row) {
    const bf16* from = x.row<bf16>(row);
    float* to = values.data() + row * x.cols;
    for (int64_t begin = 0; begin < x.cols; begin += kBlock) {
      const int64_t end = std::min(begin + kBlock, x.cols);
      float largest = 0;
      for (int64_t c = begin; c < end; ++c) largest = std::max(largest, std::abs(ToFloat(from[c])));
      if (largest == 0) continue;
      for (int64_t c = begin; c < end; ++c) {
        to[c] = ToFloat(ToE4M3(ToFloat(from[c]) * (448.0f / largest))) * (largest / 448.0f);
      }
    }
  }
  return {.data = values.data(), .type = DType::kF32, .rows = x.rows, .cols = x.cols, .stride = x.cols};
}

// The CPU, rounding activations before products with fp8 weights as the Hopper kernels do.
std::unique_ptr<Device> RoundingCpu() {
  static const kernels::KernelSet& generic = *kernels::AvailableCpuKernels().front();
  static const kernels::KernelSet rounding = [] {
    kernels::KernelSet set = generic;
    set.linear = [](const kernels::LinearArgs& args, const kernels::Execution& execution) {
      if (args.weight.type != DType::kF8E4M3) return generic.linear(args, execution);
      std::vector<float> values;
      kernels::LinearArgs rounded = args;
      rounded.x = Rounded(args.x, values);
      generic.linear(rounded, execution);
    };
    set.grouped_linear = [](const kernels::GroupedLinearArgs& args, const kernels::Execution& execution) {
      if (args.weights[0].type != DType::kF8E4M3) return generic.grouped_linear(args, execution);
      std::vector<float> values;
      kernels::GroupedLinearArgs rounded = args;
      rounded.x = Rounded(args.x, values);
      generic.grouped_linear(rounded, execution);
    };
    return set;
  }();
  return MakeCpuDevice(1, rounding);
}

std::unique_ptr<Rack> MakeRack(const EngineOptions& options, const Rack::MakeDevice& make) {
  auto rack = Rack::Create(options, make);
  EXPECT_TRUE(rack.ok()) << rack.status();
  return *std::move(rack);
}

TinyModel R1Shaped(bool fp8) { return {.fp8 = fp8, .layers = 2, .aligned = true}; }

// The router's bias so far apart that it settles every choice: rounding would change one now and then.
void SettleRouting(TinyTensor& tensor) {
  if (tensor.name.find("e_score_correction_bias") == std::string::npos) return;
  auto* const bias = reinterpret_cast<float*>(tensor.bytes.data());
  for (size_t e = 0; e < tensor.bytes.size() / sizeof(float); ++e) bias[e] *= 100;
}

std::string DemoModel() {
  const char* elsewhere = std::getenv("DEEPRACK_DEMO_MODEL");
  return elsewhere != nullptr ? elsewhere : DEEPRACK_SOURCE_DIR "/demo/model";
}

struct Case {
  const char* name;
  bool fp8 = true;
  model::Layout layout;
  model::ExpertExchange exchange = model::ExpertExchange::kReplicated;
  std::optional<DType> kv_cache = {};

  EngineOptions Options(const Damage& damage = {}) const {
    EngineOptions options =
        TinyOptions(WriteTinyCheckpoint(R1Shaped(fp8), damage), DType::kBF16, layout, exchange);
    options.max_step_tokens = 80;
    options.kv_cache = kv_cache;
    return options;
  }
  // What holds for weights of fp8, these with a cache of fp8, weights of bf16, and these with such a cache.
  double Bound(double of_fp8, double of_fp8_cached, double of_bf16, double of_bf16_cached) const {
    if (fp8) return kv_cache ? of_fp8_cached : of_fp8;
    return kv_cache ? of_bf16_cached : of_bf16;
  }
};

class HopperEngineTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (Hopper() == nullptr) GTEST_SKIP() << "no Hopper card";
  }
};

// The root mean square of the differences over that of what is expected.
double Difference(const Logits& actual, const Logits& expected) {
  double squares = 0, differences = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += static_cast<double>(expected[i]) * expected[i];
    const double off = static_cast<double>(actual[i]) - expected[i];
    differences += off * off;
  }
  return std::sqrt(differences / squares);
}

// A prefill across a page's end beside another, then decodes beside a prefill, and a replay.
std::vector<model::StepPlan> Steps(int32_t dp) {
  const Sequence a = {.id = 1, .tokens = RandomTokens(68, 31), .blocks = {3, 1}, .prompt_size = 66};
  const Sequence b = {
      .id = 2, .tokens = RandomTokens(6, 32), .blocks = {4}, .dp_rank = dp - 1, .prompt_size = 5};
  const Sequence c = {.id = 3, .tokens = RandomTokens(5, 33), .blocks = {6}};
  return {{.epoch = kEpoch, .sequences = {a.Chunk(0, 66), b.Chunk(0, 5)}},
          {.epoch = kEpoch, .sequences = {a.Chunk(66, 67), c.Chunk(0, 5), b.Chunk(5, 6)}},
          {.epoch = kEpoch, .sequences = {a.Chunk(67, 68)}},
          {.epoch = kEpoch, .sequences = {a.Chunk(0, 68)}}};
}

// So no product of these models falls to the plain kernels.
TEST_P(HopperEngineTest, EveryMatrixLiesRowMajor) {
  const Case& c = GetParam();
  const auto card = Hopper();
  EXPECT_EQ(card->kernels().name, "cuda-sm90");
  const auto reader = checkpoint::CheckpointReader::Open(c.Options().model_path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const model::ModelConfig config = R1Shaped(c.fp8).Config();
  const RowMajorTypes wanted = WantedRowMajor(config, *reader, *card);
  for (const model::PackedTensor& tensor :
       model::PackedTensorsOf(config, c.layout, 0, DType::kBF16, {}, wanted)) {
    if (tensor.form == model::WeightForm::kVector || tensor.form == model::WeightForm::kTable) continue;
    EXPECT_EQ(tensor.layout, WeightLayout::kRows) << tensor.parts[0].tensor.name;
  }
}

TEST_P(HopperEngineTest, IsTheCpusWithinTheRoundingOfItsKernels) {
  const Case& c = GetParam();
  const EngineOptions options = c.Options(SettleRouting);
  const auto card = MakeRack(options, Hopper), cpu = MakeRack(options, Generic);
  const auto rounding = c.fp8 ? MakeRack(options, RoundingCpu) : nullptr;
  for (const model::StepPlan& plan : Steps(c.layout.dp)) {
    const std::vector<Logits> actual = card->LogitsOf(plan), expected = cpu->LogitsOf(plan);
    double largest = 0;  // in bf16 a short sequence may well come out alike
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(actual[i].size(), expected[i].size());
      const double difference = Difference(actual[i], expected[i]);
      EXPECT_LE(difference, c.Bound(0.25, 0.35, 0.012, 0.04)) << "sequence " << i;
      largest = std::max(largest, difference);
    }
    EXPECT_GT(largest, c.Bound(0.03, 0.03, 0.0, 0.012)) << "these are not the Hopper kernels";
    if (rounding == nullptr) continue;
    const std::vector<Logits> rounded = rounding->LogitsOf(plan);
    for (size_t i = 0; i < rounded.size(); ++i) {
      EXPECT_LE(Difference(actual[i], rounded[i]), c.kv_cache ? 0.2 : 0.15) << "sequence " << i;
    }
  }
}

// Bitwise: each sequence alone and in one chunk, against all of them together, in chunks, and again.
TEST_P(HopperEngineTest, ASequencesBitsDoNotDependOnItsBatch) {
  const Case& c = GetParam();
  const auto rack = MakeRack(c.Options(), Hopper);
  std::vector<Sequence> sequences = {
      {.id = 1, .tokens = RandomTokens(67, 11), .blocks = {3, 1}, .prompt_size = 66},
      {.id = 2, .tokens = RandomTokens(1, 12), .blocks = {5}},
      {.id = 3, .tokens = RandomTokens(9, 13), .blocks = {4}}};
  sequences[2].dp_rank = c.layout.dp - 1;
  std::vector<Logits> alone;
  model::StepPlan first = {.epoch = kEpoch}, second = {.epoch = kEpoch};
  for (const Sequence& sequence : sequences) {
    const auto tokens = static_cast<int64_t>(sequence.tokens.size());
    alone.push_back(rack->LogitsOf({.epoch = kEpoch, .sequences = {sequence.Chunk(0, tokens)}})[0]);
    if (tokens > 1) first.sequences.push_back(sequence.Chunk(0, tokens - 2));
    second.sequences.push_back(sequence.Chunk(tokens > 1 ? tokens - 2 : 0, tokens));
  }
  rack->LogitsOf(first);
  for (int time = 0; time < 2; ++time) EXPECT_EQ(rack->LogitsOf(second), alone);
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, HopperEngineTest,
    ::testing::Values(
        Case{"fp8"}, Case{"bf16", false}, Case{"fp8_tp2_ep2", true, {.tp = 2, .ep = 2}},
        Case{"bf16_dp2_ep2_all_to_all", false, {.dp = 2, .ep = 2}, model::ExpertExchange::kAllToAll},
        Case{"bf16_fp8_cache", false, {}, model::ExpertExchange::kReplicated, DType::kF8E4M3},
        Case{"fp8_tp2_ep2_fp8_cache",
             true,
             {.tp = 2, .ep = 2},
             model::ExpertExchange::kReplicated,
             DType::kF8E4M3}),
    [](const auto& info) { return std::string(info.param.name); });

// Decodes from recordings: nothing that changes from step to step is in what was recorded.
TEST(HopperGraphsTest, DecodesFromRecordingsGiveTheSameBits) {
  if (Hopper() == nullptr) GTEST_SKIP() << "no Hopper card";
  for (const std::optional<DType> kv_cache : {std::optional<DType>(), std::optional(DType::kF8E4M3)}) {
    EngineOptions options = Case{.kv_cache = kv_cache}.Options();
    const auto plain = MakeRack(options, Hopper);
    GraphCounts counts;
    options.decode_graphs = true;
    const auto recorded = MakeRack(options, [&] { return MakeHopperCard(&counts); });
    std::vector<int64_t> computed = {62, 3, 30};
    std::vector<Sequence> sequences;
    for (int i = 0; i < 3; ++i) {
      sequences.push_back({.id = SequenceId(i + 1),
                           .tokens = RandomTokens(70, 40 + static_cast<uint32_t>(i)),
                           .blocks = {BlockId(2 * i), BlockId(2 * i + 1)},
                           .prompt_size = static_cast<int32_t>(computed[static_cast<size_t>(i)])});
    }
    const auto expect_same = [&](const model::StepPlan& plan) {
      EXPECT_EQ(recorded->LogitsOf(plan), plain->LogitsOf(plan));
    };
    for (size_t i = 0; i < sequences.size(); ++i)
      expect_same({.epoch = kEpoch, .sequences = {sequences[i].Chunk(0, computed[i])}});
    for (const std::vector<size_t>& batch :
         std::vector<std::vector<size_t>>{{0, 1, 2}, {0, 2, 1}, {2, 0, 1}}) {
      model::StepPlan plan = {.epoch = kEpoch};
      for (const size_t i : batch) {
        plan.sequences.push_back(sequences[i].Chunk(computed[i], computed[i] + 1));
        ++computed[i];
      }
      expect_same(plan);
    }
    if (!counts.counted) continue;
    EXPECT_EQ(counts.recorded, 1);
    EXPECT_EQ(counts.replayed, 2);
  }
}

// A trained model whose sizes suit some of the kernels: Hopper products, plain attention and gate side by
// side. A prompt, then decodes of what the CPU says.
TEST(HopperDemoModelTest, HasTheCpusLogitsButForRounding) {
  if (Hopper() == nullptr) GTEST_SKIP() << "no Hopper card";
  EngineOptions options = TinyOptions(DemoModel(), DType::kBF16);
  options.max_step_tokens = 40;
  options.max_context = 64;
  const auto card = MakeRack(options, Hopper), cpu = MakeRack(options, Generic);
  Sequence text = {.id = 1, .tokens = RandomTokens(40, 3), .blocks = {1}, .prompt_size = 40};
  for (int64_t computed = 0; computed < 44;) {
    const auto tokens = static_cast<int64_t>(text.tokens.size());
    const model::StepPlan plan = {.epoch = kEpoch, .sequences = {text.Chunk(computed, tokens)}};
    const Logits actual = card->LogitsOf(plan)[0], expected = cpu->LogitsOf(plan)[0];
    EXPECT_LE(Difference(actual, expected), 0.15) << "after " << tokens << " tokens";
    text.tokens.push_back(
        static_cast<TokenId>(std::max_element(expected.begin(), expected.end()) - expected.begin()));
    computed = tokens;
  }
}

}  // namespace
}  // namespace deeprack::worker::testing
