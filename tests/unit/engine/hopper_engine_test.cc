// The whole engine with the Hopper kernels, compared with the CPU. In CI the kernels run on the emulation of
// kernels/cuda/sm90/emulator (emulated_card.cc); `make gpu-check` runs the same tests on a card (tests/gpu).
//
// Tolerances, relative to the root mean square of the logits:
//  - bf16 0.012: two orders of fp32 sums are rounded to bf16 between operations, and attention's weights are
//    bf16.
//  - bf16 with an fp8 KV cache 0.04: queries and softmax weights are e4m3 here and not on the CPU.
//  - fp8 0.25, with an fp8 KV cache 0.35: activations are rounded to e4m3 before each product, 2.6% of a
//    product in the root mean square (kernels/cuda/hopper/operations.h), and a token's logits need ten
//    products in a row.
//  - fp8 compared with a CPU that rounds the same activations 0.15, with an fp8 KV cache 0.2: a last bit of
//    bf16 between two products sometimes moves a value across a border of e4m3.
//  - int4, compared with the plain kernels: as fp8 if its rows are e4m3, as bf16 if its rows are bf16.
// Both choose the same experts: another expert would differ by more than these tolerances.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/e4m3.h"
#include "checkpoint/checkpoint_reader.h"
#include "kernels/api/card_kernels.h"
#include "kernels/api/kernel_set.h"
#include "kernels/cuda/choice/operation_names.h"
#include "model/files/model_files.h"
#include "sizing/weight_forms.h"
#include "sizing/weight_manifest.h"
#include "tests/source_tree.h"
#include "tests/unit/engine/card.h"
#include "tests/unit/engine/draft_run.h"
#include "tests/unit/engine/poisoned_checkpoint.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/device/cpu_device.h"
#include "worker/weights/weight_loader.h"

namespace deeprack::worker::testing {
namespace {

using kernels::Matrix;

std::unique_ptr<Device> Hopper() { return MakeHopperCard(nullptr); }
std::unique_ptr<Device> Generic() { return MakeCpuDevice(1, *kernels::AvailableCpuKernels().front()); }

// x as the fp8 products read it: each 128 columns of a row rounded to e4m3 with one scale.
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

// The CPU kernels, which here round activations before products with fp8 weights as the Hopper kernels do.
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

TinyModel R1Shaped(DType type) {
  return {.fp8 = type == DType::kF8E4M3, .layers = 2, .int4 = type == DType::kInt4G128, .aligned = true};
}

std::string DemoModel() {
  const char* elsewhere = std::getenv("DEEPRACK_DEMO_MODEL");
  return elsewhere != nullptr ? elsewhere : InSourceTree("demo/model");
}

struct Case {
  const char* name;
  DType type = DType::kF8E4M3;
  model::Layout layout;
  model::ExpertExchange exchange = model::ExpertExchange::kReplicated;
  std::optional<DType> kv_cache = {};
  std::string_view without = {};  // name of a kernel to leave out

  EngineOptions Options(const Damage& damage = {}) const {
    EngineOptions options =
        TinyOptions(WriteTinyCheckpoint(R1Shaped(type), damage), DType::kBF16, layout, exchange);
    options.max_step_tokens = 80;
    options.kv_cache = kv_cache;
    return options;
  }
  // True if products round activations to e4m3.
  bool rounds() const {
    return type == DType::kF8E4M3 || (type == DType::kInt4G128 && without != kernels::kInt4ByE4M3);
  }
  // The tolerance with rounding products, with rounding products and an fp8 cache, without rounding, and
  // without rounding with an fp8 cache.
  double Bound(double of_rounding, double of_rounding_cached, double of_bf16, double of_bf16_cached) const {
    if (rounds()) return kv_cache ? of_rounding_cached : of_rounding;
    return kv_cache ? of_bf16_cached : of_bf16;
  }
  std::unique_ptr<Device> Hopper() const { return MakeHopperCard(nullptr, without); }
  // The CPU rounds the rows of its int4 products; the plain kernels do not.
  std::unique_ptr<Device> Exact() const { return type == DType::kInt4G128 ? MakeCard(nullptr) : Generic(); }
};

class HopperEngineTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (Hopper() == nullptr) GTEST_SKIP() << "no Hopper card";
  }
};

// The root mean square of the differences, relative to that of the expected values.
double Difference(const Logits& actual, const Logits& expected) {
  double squares = 0, differences = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += static_cast<double>(expected[i]) * expected[i];
    const double off = static_cast<double>(actual[i]) - expected[i];
    differences += off * off;
  }
  return std::sqrt(differences / squares);
}

// Two prefills, one across the end of a page, then decodes together with a prefill, and a replay.
std::vector<WrittenStep> Steps(int32_t dp) {
  const Sequence a = {.id = 1, .tokens = RandomTokens(68, 31), .blocks = {3, 1}, .prompt_size = 66};
  const Sequence b = {
      .id = 2, .tokens = RandomTokens(6, 32), .blocks = {4}, .dp_rank = dp - 1, .prompt_size = 5};
  const Sequence c = {.id = 3, .tokens = RandomTokens(5, 33), .blocks = {6}};
  return {{.epoch = kEpoch, .sequences = {a.Chunk(0, 66), b.Chunk(0, 5)}},
          {.epoch = kEpoch, .sequences = {a.Chunk(66, 67), c.Chunk(0, 5), b.Chunk(5, 6)}},
          {.epoch = kEpoch, .sequences = {a.Chunk(67, 68)}},
          {.epoch = kEpoch, .sequences = {a.Chunk(0, 68)}}};
}

// So the plain kernels make no product of these models.
TEST_P(HopperEngineTest, EveryMatrixLiesAsTheKernelsRead) {
  const Case& c = GetParam();
  const auto card = c.Hopper();
  EXPECT_EQ(card->kernels().name, "cuda-sm90");
  const std::string folder = c.Options().model_path;
  const auto reader = checkpoint::CheckpointReader::Open(folder);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto config = model::LoadModelConfig(folder);
  ASSERT_TRUE(config.ok()) << config.status();
  const auto forms = sizing::WeightFormsOf(*config, *reader, card->kernels());
  ASSERT_TRUE(forms.ok()) << forms.status();
  const RowMajorTypes wanted = forms->row_major;
  int64_t of_type = 0;
  for (const sizing::PackedTensor& tensor :
       sizing::ManifestOf({.config = *config, .layout = c.layout}, *forms).tensors) {
    if (tensor.form == sizing::WeightForm::kVector || tensor.form == sizing::WeightForm::kTable) continue;
    const bool int4 = tensor.type == DType::kInt4G128;
    EXPECT_EQ(tensor.layout, int4 ? wanted.int4 : WeightLayout::kRows) << tensor.parts[0].tensor.name;
    of_type += tensor.type == c.type;
  }
  EXPECT_GT(of_type, 40) << "experts at least";
}

TEST_P(HopperEngineTest, IsTheCpusWithinTheRoundingOfItsKernels) {
  const Case& c = GetParam();
  const EngineOptions options = c.Options(SettleRouting);
  const auto card = MakeRack(options, [&] { return c.Hopper(); }),
             exact = MakeRack(options, [&] { return c.Exact(); });
  const auto rounding = c.type == DType::kF8E4M3 ? MakeRack(options, RoundingCpu) : nullptr;
  double largest = 0;  // some bf16 steps may be equal, and prompts do not round their queries
  for (const WrittenStep& plan : Steps(c.layout.dp)) {
    const std::vector<Logits> actual = card->LogitsOf(plan), expected = exact->LogitsOf(plan);
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(actual[i].size(), expected[i].size());
      const double difference = Difference(actual[i], expected[i]);
      EXPECT_LE(difference, c.Bound(0.25, 0.35, 0.012, 0.04)) << "sequence " << i;
      largest = std::max(largest, difference);
    }
    if (rounding == nullptr) continue;
    const std::vector<Logits> rounded = rounding->LogitsOf(plan);
    for (size_t i = 0; i < rounded.size(); ++i) {
      EXPECT_LE(Difference(actual[i], rounded[i]), c.kv_cache ? 0.2 : 0.15) << "sequence " << i;
    }
  }
  EXPECT_GT(largest, c.Bound(0.03, 0.03, 0.0, 0.012)) << "these are not the Hopper kernels";
}

// Bitwise equal: each sequence alone in one chunk, all sequences together in chunks, and the same again.
TEST_P(HopperEngineTest, ASequencesBitsDoNotDependOnItsBatch) {
  const Case& c = GetParam();
  const auto rack = MakeRack(c.Options(), [&] { return c.Hopper(); });
  std::vector<Sequence> sequences = {
      {.id = 1, .tokens = RandomTokens(67, 11), .blocks = {3, 1}, .prompt_size = 66},
      {.id = 2, .tokens = RandomTokens(1, 12), .blocks = {5}},
      {.id = 3, .tokens = RandomTokens(9, 13), .blocks = {4}}};
  sequences[2].dp_rank = c.layout.dp - 1;
  std::vector<Logits> alone;
  WrittenStep first = {.epoch = kEpoch}, second = {.epoch = kEpoch};
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
        Case{"fp8"}, Case{"bf16", DType::kBF16}, Case{"fp8_tp2_ep2", DType::kF8E4M3, {.tp = 2, .ep = 2}},
        Case{"fp8_dp2_ep2_all_to_all", DType::kF8E4M3, {.dp = 2, .ep = 2}, model::ExpertExchange::kAllToAll},
        Case{"bf16_dp2_ep2_all_to_all", DType::kBF16, {.dp = 2, .ep = 2}, model::ExpertExchange::kAllToAll},
        Case{.name = "bf16_fp8_cache", .type = DType::kBF16, .kv_cache = DType::kF8E4M3},
        Case{.name = "fp8_tp2_ep2_fp8_cache", .layout = {.tp = 2, .ep = 2}, .kv_cache = DType::kF8E4M3},
        Case{"int4", DType::kInt4G128},
        Case{.name = "int4_with_bf16", .type = DType::kInt4G128, .without = kernels::kInt4ByE4M3}),
    [](const auto& info) { return std::string(info.param.name); });

// A tile of the attention kernel holds rows of one sequence. With 16 heads it would hold drafts with the row
// before them, and an entry that is not finite would reach that row.
TEST(HopperDraftsTest, APoisonedDraftReachesNoOtherToken) {
  if (Hopper() == nullptr) GTEST_SKIP() << "no Hopper card";
  EngineOptions options = Case{.type = DType::kBF16}.Options();
  options.model_path = WritePoisonedCheckpoint("model.layers.1.input_layernorm.weight",
                                               {.layers = 3, .mtp_layers = 1, .aligned = true});
  std::vector<DraftedSequence> sequences = SequencesWithout(kPoisonedToken);
  sequences.resize(1);
  sequences[0].opened.tokens.resize(4);
  sequences[0].opened.prompt_size = 4;
  sequences[0].opened.end.max_size = 4 + 40;
  const auto plain = MakeRack(options, Hopper);
  const auto expected = DraftRun(*plain, options, sequences).Run({});
  ASSERT_EQ(expected[0].drawn.size(), 40);
  options.speculative_tokens = 3;
  const auto drafting = MakeRack(options, Hopper);
  DraftRun run(*drafting, options, sequences);
  EXPECT_EQ(run.Run(expected, kPoisonedToken)[0].drawn, expected[0].drawn);
  EXPECT_GT(run.accepted(), 2);
}

// Decodes from recordings: a recording contains nothing that changes from step to step.
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
    const auto expect_same = [&](const WrittenStep& plan) {
      EXPECT_EQ(recorded->LogitsOf(plan), plain->LogitsOf(plan));
    };
    for (size_t i = 0; i < sequences.size(); ++i)
      expect_same({.epoch = kEpoch, .sequences = {sequences[i].Chunk(0, computed[i])}});
    for (const std::vector<size_t>& batch :
         std::vector<std::vector<size_t>>{{0, 1, 2}, {0, 2, 1}, {2, 0, 1}}) {
      WrittenStep plan = {.epoch = kEpoch};
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

// A trained model whose sizes fit only some Hopper kernels: Hopper products together with plain attention and
// gate. A prompt, then decodes of the CPU's tokens.
TEST(HopperDemoModelTest, HasTheCpusLogitsButForRounding) {
  if (Hopper() == nullptr) GTEST_SKIP() << "no Hopper card";
  EngineOptions options = TinyOptions(DemoModel(), DType::kBF16);
  options.max_step_tokens = 40;
  options.max_context = 64;
  const auto card = MakeRack(options, Hopper), cpu = MakeRack(options, Generic);
  Sequence text = {.id = 1, .tokens = RandomTokens(40, 3), .blocks = {1}, .prompt_size = 40};
  for (int64_t computed = 0; computed < 44;) {
    const auto tokens = static_cast<int64_t>(text.tokens.size());
    const WrittenStep plan = {.epoch = kEpoch, .sequences = {text.Chunk(computed, tokens)}};
    const Logits actual = card->LogitsOf(plan)[0], expected = cpu->LogitsOf(plan)[0];
    EXPECT_LE(Difference(actual, expected), 0.15) << "after " << tokens << " tokens";
    text.tokens.push_back(
        static_cast<TokenId>(std::max_element(expected.begin(), expected.end()) - expected.begin()));
    computed = tokens;
  }
}

}  // namespace
}  // namespace deeprack::worker::testing
