// Engines for a model folder with config.json and no other file.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"

namespace deeprack::worker::testing {
namespace {

std::string ConfigAlone(const std::string& name, const TinyModel& model) {
  const std::string folder = ::testing::TempDir() + "/dummy_weights_" + name;
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/config.json") << model.ConfigJson();
  return folder;
}

EngineOptions DummyOptions(const std::string& folder, const model::Layout& layout = {},
                           model::ExpertExchange exchange = model::ExpertExchange::kReplicated) {
  EngineOptions options = TinyOptions(folder, DType::kF32, layout, exchange);
  options.load_format = model::LoadFormat::kDummy;
  return options;
}

std::vector<Logits> Serve(const EngineOptions& options) {
  const auto rack = Rack::Create(options);
  EXPECT_TRUE(rack.ok()) << rack.status();
  if (!rack.ok()) return {};
  const Sequence a = {.id = 1, .tokens = RandomTokens(70, 5), .blocks = {1, 0}};
  const Sequence b = {.id = 2, .tokens = RandomTokens(9, 6), .blocks = {3}, .dp_rank = options.layout.dp - 1};
  std::vector<Logits> all =
      (*rack)->LogitsOf({.epoch = kEpoch, .sequences = {a.Chunk(0, 69), b.Chunk(0, 9)}});
  all.push_back((*rack)->LogitsOf({.epoch = kEpoch, .sequences = {a.Chunk(69, 70)}}).front());
  return all;
}

TEST(DummyWeightsTest, LogitsAreFiniteAndTheSameInEveryLayout) {
  const TinyModel models[] = {{}, {.fp8 = false}, {.layers = 2, .grouped_query = true}};
  for (size_t m = 0; m < std::size(models); ++m) {
    const std::string folder = ConfigAlone(std::to_string(m), models[m]);
    const std::vector<Logits> expected = Serve(DummyOptions(folder));
    ASSERT_EQ(expected.size(), 3u);
    float largest = 0, smallest = 0;
    for (const Logits& logits : expected) {
      for (const float logit : logits) {
        ASSERT_TRUE(std::isfinite(logit));
        largest = std::max(largest, logit);
        smallest = std::min(smallest, logit);
      }
    }
    EXPECT_GT(largest - smallest, 0.01f);
    EXPECT_LT(largest - smallest, 100.0f);
    EXPECT_EQ(Serve(DummyOptions(folder)), expected) << "the same every time";

    std::vector<EngineOptions> others = {DummyOptions(folder, {.tp = 2, .dp = 1, .ep = 1, .pp = 1})};
    if (!models[m].grouped_query) {
      others.push_back(DummyOptions(folder, {.tp = 2, .dp = 2, .ep = 2, .pp = 2}));
      others.push_back(
          DummyOptions(folder, {.tp = 1, .dp = 2, .ep = 2, .pp = 1}, model::ExpertExchange::kAllToAll));
    }
    for (const EngineOptions& other : others) {
      SCOPED_TRACE(ToString(other.layout));
      const std::vector<Logits> logits = Serve(other);
      ASSERT_EQ(logits.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        for (size_t v = 0; v < expected[i].size(); ++v) {
          ASSERT_NEAR(logits[i][v], expected[i][v], 1e-4 * (largest - smallest));
        }
      }
    }
  }
}

TEST(DummyWeightsTest, AreMadeOnlyWhenAskedFor) {
  EngineOptions options = DummyOptions(ConfigAlone("asked", {}));
  options.load_format = model::LoadFormat::kAuto;
  EXPECT_EQ(Rack::Create(options).status().code(), absl::StatusCode::kNotFound);
}

TEST(DummyWeightsTest, DoNotTakeTheCheckpointsPlace) {
  const std::string folder = WriteTinyCheckpoint({});
  const auto real = Rack::Create(TinyOptions(folder));
  ASSERT_TRUE(real.ok()) << real.status();
  EXPECT_TRUE((*real)->engine(0).Suits(TinyOptions(folder)));
  EXPECT_FALSE((*real)->engine(0).Suits(DummyOptions(folder))) << "weights are not kept for the other format";

  EngineOptions packed = DummyOptions(folder);
  packed.packed.folder = ::testing::TempDir();
  const absl::Status refused = Rack::Create(packed).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
}

}  // namespace
}  // namespace deeprack::worker::testing
