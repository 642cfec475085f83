// Row-major weights have the values of panels. The plain kernels read both and give the same logits, bit for
// bit. So do both orders of int4 tiles.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "tests/unit/sizing/rank_tensors.h"
#include "worker/device/emulated/emulated_device.h"

namespace deeprack::worker::testing {
namespace {

constexpr RowMajorTypes kBoth = {.bf16 = true, .fp8 = true};

std::unique_ptr<Device> WithRows() {
  kernels::KernelSet kernels = kernels::CardKernels();
  kernels.row_major = kBoth;
  return MakeEmulatedDevice(2, {}, kernels);
}
std::unique_ptr<Device> WithPanels() { return MakeEmulatedDevice(2, {}); }

// int4 in tiles for e4m3. The plain kernels' own tiles are for bf16.
std::unique_ptr<Device> WithTilesForE4M3() {
  kernels::KernelSet kernels = kernels::CardKernels();
  kernels.row_major.int4 = WeightLayout::kTilesForE4M3;
  return MakeEmulatedDevice(2, {}, kernels);
}
std::unique_ptr<Device> Expanded() {
  kernels::KernelSet kernels = kernels::CardKernels();
  kernels.row_major = {};
  return MakeEmulatedDevice(2, {}, kernels);
}

std::vector<Logits> LogitsOn(const EngineOptions& options, const Rack::MakeDevice& make, int32_t dp) {
  auto rack = Rack::Create(options, make);
  EXPECT_TRUE(rack.ok()) << rack.status();
  const Sequence a = {.id = 1, .tokens = RandomTokens(7, 31), .blocks = {3}};
  const Sequence b = {.id = 2, .tokens = RandomTokens(3, 32), .blocks = {4}, .dp_rank = dp - 1};
  return (*rack)->LogitsOf({.epoch = kEpoch, .sequences = {a.Chunk(0, 7), b.Chunk(0, 3)}});
}

int64_t RowMajorMatrices(const TinyModel& model, const model::Layout& layout) {
  int64_t matrices = 0;
  for (const sizing::PackedTensor& tensor :
       sizing::PackedTensorsOf(model.Config(), layout, 0, DType::kBF16, {.row_major = kBoth})) {
    matrices += tensor.layout == WeightLayout::kRows;
  }
  return matrices;
}

struct Case {
  const char* name;
  TinyModel model;
  model::Layout layout;
};

class RowMajorTest : public ::testing::TestWithParam<Case> {};

TEST_P(RowMajorTest, GivesThePanelsLogitsBitForBit) {
  const Case& c = GetParam();
  EXPECT_GT(RowMajorMatrices(c.model, c.layout), 0);
  EngineOptions options = TinyOptions(WriteTinyCheckpoint(c.model), DType::kBF16, c.layout);
  options.max_step_tokens = 16;
  EXPECT_EQ(LogitsOn(options, WithRows, c.layout.dp), LogitsOn(options, WithPanels, c.layout.dp));
}

INSTANTIATE_TEST_SUITE_P(
    Models, RowMajorTest,
    ::testing::Values(Case{"fp8", {.layers = 2, .aligned = true}, {}},
                      Case{"fp8_tp2_ep2", {.layers = 2, .aligned = true}, {.tp = 2, .ep = 2}},
                      Case{"bf16_dp2", {.fp8 = false, .layers = 2, .aligned = true}, {.dp = 2, .ep = 2}},
                      Case{"odd_bf16", {.fp8 = false}, {.tp = 2, .ep = 2}},
                      Case{"fp32_file", {.fp8 = false, .layers = 2, .plain_type = DType::kF32}, {}},
                      Case{"grouped_query", {.fp8 = false, .grouped_query = true}, {}}),
    [](const auto& info) { return std::string(info.param.name); });

class TilesTest : public ::testing::TestWithParam<model::Layout> {};

// Compared with weights that are expanded to bf16, which rounds each value once more, by at most 2^-9 of the
// value.
TEST_P(TilesTest, BothOrdersGiveTheSameBitsAndThoseOfExpandedWeightsButForRounding) {
  EngineOptions options = TinyOptions(
      WriteTinyCheckpoint({.fp8 = false, .layers = 2, .int4 = true, .aligned = true}, SettleRouting),
      DType::kBF16, GetParam());
  options.max_step_tokens = 16;
  const std::vector<Logits> tiles = LogitsOn(options, WithPanels, 1);
  EXPECT_EQ(LogitsOn(options, WithTilesForE4M3, 1), tiles);
  const std::vector<Logits> expanded = LogitsOn(options, Expanded, 1);
  EXPECT_NE(expanded, tiles);
  for (size_t i = 0; i < tiles.size(); ++i) {
    double squares = 0, differences = 0;
    for (size_t t = 0; t < tiles[i].size(); ++t) {
      const double value = tiles[i][t], difference = value - expanded[i][t];
      squares += value * value;
      differences += difference * difference;
    }
    EXPECT_LT(std::sqrt(differences / squares), 0.02) << "sequence " << i;
  }
}

// With two ranks the parts of the shared expert begin within tiles, so only these parts are expanded.
INSTANTIATE_TEST_SUITE_P(Layouts, TilesTest,
                         ::testing::Values(model::Layout{}, model::Layout{.tp = 2, .ep = 2}),
                         [](const auto& info) { return info.param.tp == 1 ? "alone" : "tp2_ep2"; });

// A packed file of one weight layout is not valid for the other.
TEST(RowMajorTest, PackedFilesTellLayoutsApart) {
  EngineOptions options = TinyOptions(WriteTinyCheckpoint({.layers = 2, .aligned = true}), DType::kBF16);
  options.max_step_tokens = 16;
  options.packed = {.folder = options.model_path + "/packed", .full_check = true};
  const std::vector<Logits> expected = LogitsOn(options, WithPanels, 1);
  EXPECT_EQ(LogitsOn(options, WithRows, 1), expected);
  const auto packed_at = [&] {
    const std::filesystem::directory_iterator files(options.packed.folder);
    return files->last_write_time();
  };
  const auto before = packed_at();
  EXPECT_EQ(LogitsOn(options, WithRows, 1), expected);
  EXPECT_EQ(packed_at(), before) << "not packed again";
  EXPECT_EQ(LogitsOn(options, WithPanels, 1), expected);
  EXPECT_NE(packed_at(), before) << "packed again";
}

}  // namespace
}  // namespace deeprack::worker::testing
