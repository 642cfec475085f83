// Expected values are those of transformers 5's ROPE_INIT_FUNCTIONS with 64 rope dimensions and theta 10000.
#include "worker/decoder/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace deeprack::worker {
namespace {

model::ModelConfig Config(double factor, int64_t original, double mscale, double mscale_all_dim) {
  model::ModelConfig config;
  config.qk_rope_head_dim = 64;
  config.rope_theta = 10000;
  config.rope_scaling = model::YarnScaling{.factor = factor,
                                           .original_max_position_embeddings = original,
                                           .mscale = mscale,
                                           .mscale_all_dim = mscale_all_dim};
  return config;
}

struct Expected {
  int pair;
  double frequency;
};

void ExpectFrequencies(const model::ModelConfig& config, std::initializer_list<Expected> expected) {
  const std::vector<double> frequencies = RopeFrequencies(config);
  ASSERT_EQ(frequencies.size(), 32u);
  for (const auto& [pair, frequency] : expected) {
    EXPECT_NEAR(frequencies[static_cast<size_t>(pair)] / frequency, 1, 1e-6) << "pair " << pair;
  }
}

TEST(RopeTableTest, R1) {
  const model::ModelConfig config = Config(40, 4096, 1, 1);
  ExpectFrequencies(config, {{0, 1.0},
                             {1, 0.7498942017555237},
                             {10, 0.05623412877321243},
                             {12, 0.026879360899329185},
                             {15, 0.0083345090970397},
                             {20, 0.0007905694073997438},
                             {23, 3.333803397254087e-05},
                             {31, 3.3338035336782923e-06}});
  EXPECT_EQ(RopeAmplitude(config), 1.0);
}

TEST(RopeTableTest, UnequalMagnitudes) {
  const model::ModelConfig config = Config(4, 128, 0.7, 1.2);
  ExpectFrequencies(config, {{1, 0.6987650394439697},
                             {5, 0.1562950611114502},
                             {10, 0.01789267547428608},
                             {12, 0.007905694656074047},
                             {15, 0.0033338037319481373},
                             {31, 3.333803761051968e-05}});
  EXPECT_NEAR(RopeAmplitude(config), 0.9405715251010841, 1e-12);
}

TEST(RopeTableTest, Llama3) {
  model::ModelConfig config;
  config.qk_rope_head_dim = 64;
  config.rope_theta = 10000;
  config.llama3_rope_scaling = model::Llama3RopeScaling{
      .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_max_position_embeddings = 8192};
  ExpectFrequencies(config, {{0, 1.0},
                             {1, 0.7498942017555237},
                             {15, 0.01333521492779255},
                             {20, 0.003162277862429619},
                             {21, 0.0017432102467864752},
                             {22, 0.0009061527671292424},
                             {23, 0.0004539801739156246},
                             {24, 0.00021360757818911225},
                             {25, 9.373677312396467e-05},
                             {31, 1.666901880525984e-05}});
  EXPECT_EQ(RopeAmplitude(config), 1.0);
}

TEST(RopeTableTest, NoMscaleAllDim) {
  EXPECT_NEAR(RopeAmplitude(Config(40, 4096, 1, 0)), 1.3688879454113936, 1e-12);
}

TEST(RopeTableTest, TableIsPositionsTimesFrequencies) {
  model::ModelConfig config = Config(4, 128, 0.7, 1.2);
  std::vector<float> cos(100 * 32);
  std::vector<float> sin(100 * 32);
  FillRopeTable(config, 100, cos.data(), sin.data());
  const std::vector<double> frequencies = RopeFrequencies(config);
  for (const int64_t position : {0, 1, 63, 99}) {
    for (const int64_t pair : {0, 7, 31}) {
      const double angle = static_cast<double>(position) * frequencies[static_cast<size_t>(pair)];
      EXPECT_NEAR(cos[static_cast<size_t>(position * 32 + pair)], 0.9405715251010841 * std::cos(angle), 1e-5);
      EXPECT_NEAR(sin[static_cast<size_t>(position * 32 + pair)], 0.9405715251010841 * std::sin(angle), 1e-5);
    }
  }
}

TEST(RopeTableTest, PlainWithoutYarn) {
  model::ModelConfig config = Config(4, 128, 1, 1);
  config.rope_scaling.reset();
  EXPECT_NEAR(RopeFrequencies(config)[1], std::pow(10000.0, -1.0 / 32), 1e-12);
  EXPECT_EQ(RopeAmplitude(config), 1.0);
}

}  // namespace
}  // namespace deeprack::worker
