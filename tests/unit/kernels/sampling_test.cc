#include "kernels/api/sampling.h"

#include "kernels/draw/mass.h"
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {
namespace {

TEST(Philox, GivesThePublishedVectors) {  // Random123's kat_vectors, philox4x32 with 10 rounds
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(Philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, DrawsDependOnEveryBitOfSeedAndPosition) {
  std::vector<double> draws = {UniformDraw(0, 0)};
  for (int bit = 0; bit < 64; ++bit) {
    draws.push_back(UniformDraw(uint64_t{1} << bit, 0));
    draws.push_back(UniformDraw(0, uint64_t{1} << bit));
  }
  for (double draw : draws) {
    EXPECT_GE(draw, 0.0);
    EXPECT_LT(draw, 1.0);
  }
  std::sort(draws.begin(), draws.end());
  EXPECT_EQ(std::unique(draws.begin(), draws.end()), draws.end());
}

TEST(Mass, SharesAreRoundedUpAndDrawsStayBelowTheTotal) {
  EXPECT_EQ(MassOf(1.0f), Mass{1} << 32);
  EXPECT_EQ(MassOf(0x1p-33f), 0u);
  EXPECT_EQ(MassOf(std::nanf("")), 0u);
  EXPECT_EQ(NeededMass(0.5f, 7), 4u);
  EXPECT_EQ(NeededMass(0.5f, 8), 4u);
  for (const Mass total : {Mass{1}, Mass{3}, Mass{1} << 32, (Mass{1} << 50) - 1}) {
    for (uint64_t position = 0; position < 200; ++position) EXPECT_LT(DrawnMass(7, position, total), total);
  }
}

Matrix RowsOfLogits(const std::vector<float>& logits, int64_t vocab) {
  return {const_cast<float*>(logits.data()), DType::kF32, std::ssize(logits) / vocab, vocab, vocab};
}

class SamplingTest : public KernelTest {
 protected:
  // One draw for each position from 0 up, all from the same row.
  std::vector<TokenId> Draws(Draw draw, const std::vector<float>& logits, int64_t count) {
    return DrawsOf(kernels(), draw, logits, count);
  }
  static std::vector<TokenId> DrawsOf(const KernelSet& set, Draw draw, const std::vector<float>& logits,
                                      int64_t count) {
    Matrix rows = RowsOfLogits(logits, std::ssize(logits));
    rows.rows = count;
    rows.stride = 0;
    std::vector<Draw> draws;
    for (int64_t i = 0; i < count; ++i) {
      draw.seed = 1234;
      draw.position = static_cast<uint64_t>(i);
      draws.push_back(draw);
    }
    std::vector<TokenId> tokens(static_cast<size_t>(count), -9);
    set.sample({rows, draws.data(), tokens.data()}, execution());
    return tokens;
  }
};
DEEPRACK_INSTANTIATE_KERNEL_TEST(SamplingTest);

TEST_P(SamplingTest, ZeroTemperatureTakesTheLargestAndLowest) {
  for (int64_t vocab : {1, 15, 16, 100, 5000}) {
    Random random(51);
    std::vector<float> logits = NormalValues(vocab, random);
    logits[vocab / 2] = logits[vocab - 1] = 50.0f;
    EXPECT_EQ(Draws({.temperature = 0}, logits, 1)[0], vocab / 2);
  }
}

// The chi-squared statistic of `draws` draws against the reference's distribution, over its degrees of
// freedom's 99.9% bound (Wilson and Hilferty); tokens of probability zero must never come up.
void ExpectDistribution(const std::vector<double>& probabilities, const std::vector<int>& counts, int draws) {
  double statistic = 0, freedom = -1, rare_expected = 0;
  int rare_count = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] == 0) {
      ASSERT_EQ(counts[i], 0) << "token " << i << " was removed";
    } else if (probabilities[i] * draws < 8) {
      rare_expected += probabilities[i] * draws;
      rare_count += counts[i];
    } else {
      const double expected = probabilities[i] * draws;
      statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
      freedom += 1;
    }
  }
  if (rare_expected >= 8) {
    statistic += (rare_count - rare_expected) * (rare_count - rare_expected) / rare_expected;
    freedom += 1;
  }
  if (freedom < 1) return;
  const double t = 2.0 / (9 * freedom);
  EXPECT_LT(statistic, freedom * std::pow(1 - t + 3.09 * std::sqrt(t), 3))
      << "with " << freedom << " degrees of freedom";
}

TEST_P(SamplingTest, DrawsFollowTheDistribution) {
  Random random(52);
  const int draws = 4000;
  const std::vector<float> logits = NormalValues(60, random, 2.0f);
  for (const Draw& draw :
       {Draw{}, Draw{.temperature = 0.6f, .top_p = 0.95f}, Draw{.top_k = 5}, Draw{.top_k = 1},
        Draw{.temperature = 1.5f, .top_k = 40, .top_p = 0.8f, .min_p = 0.05f}, Draw{.min_p = 0.2f},
        Draw{.top_p = 0.01f}, Draw{.temperature = 0.3f, .top_k = 1000, .top_p = 0.5f}}) {
    std::vector<int> counts(60, 0);
    for (const TokenId token : Draws(draw, logits, draws)) ++counts[token];
    SCOPED_TRACE(testing::Message() << "temperature " << draw.temperature << " top_k " << draw.top_k
                                    << " top_p " << draw.top_p << " min_p " << draw.min_p);
    ExpectDistribution(reference::SampleDistribution(logits.data(), 60, draw), counts, draws);
  }
}

TEST_P(SamplingTest, KeepsExactlyTheSupportThatIsAsked) {
  // Probabilities 0.5, 0.25, 0.125, 0.125: a mass of exactly 0.75 needs two tokens, just above it three.
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(4.0f), 0.0f};
  const auto support = [&](const Draw& draw) {
    std::vector<bool> seen(4, false);
    for (const TokenId token : Draws(draw, logits, 300)) seen[token] = true;
    return seen;
  };
  EXPECT_EQ(support({}), (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(support({.top_p = 0.74f}), (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(support({.top_p = 0.76f}),
            (std::vector<bool>{true, true, true, false}));  // of equals, the lower id
  EXPECT_EQ(support({.top_p = 0.4f}), (std::vector<bool>{false, false, true, false}));
  EXPECT_EQ(support({.top_k = 3}), (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(support({.min_p = 0.3f}), (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(support({.top_k = 3, .top_p = 0.6f}),
            (std::vector<bool>{false, true, true, false}));  // 4/7 < 0.6
}

TEST_P(SamplingTest, BackendsDrawTheSameTokensFromALargeVocabulary) {
  Random random(53);
  for (float deviation : {0.01f, 1.0f, 6.0f}) {
    std::vector<float> logits = NormalValues(20011, random, deviation);
    for (size_t i = 0; i < 2000; ++i) logits[random() % 20011] = logits[i];  // equals
    for (const Draw& draw : {Draw{}, Draw{.temperature = 0.6f, .top_p = 0.95f},
                             Draw{.top_k = 50, .top_p = 0.9f}, Draw{.min_p = 0.1f}, Draw{.top_k = 5000}}) {
      const std::vector<double> probabilities = reference::SampleDistribution(logits.data(), 20011, draw);
      const std::vector<TokenId> tokens = Draws(draw, logits, 8);
      for (const TokenId token : tokens) EXPECT_GT(probabilities[token], 0.0);
      EXPECT_EQ(tokens, DrawsOf(*AvailableCpuKernels().front(), draw, logits, 8));
    }
  }
}

TEST_P(SamplingTest, ARowsTokenDoesNotDependOnTheOthers) {
  Random random(56);
  const int64_t vocab = 300;
  std::vector<float> logits = NormalValues(5 * vocab, random, 2.0f);
  const std::vector<Draw> draws = {{.seed = 1},
                                   {.temperature = 0},
                                   {.top_k = 9, .seed = 2},
                                   {.top_p = 0.5f, .seed = 3},
                                   {.min_p = 0.3f, .seed = 4}};
  std::vector<TokenId> together(5);
  kernels().sample({RowsOfLogits(logits, vocab), draws.data(), together.data()}, execution());
  for (int64_t row = 0; row < 5; ++row) {
    const Matrix alone = {logits.data() + row * vocab, DType::kF32, 1, vocab, vocab};
    TokenId token = -9;
    kernels().sample({alone, &draws[row], &token}, execution());
    EXPECT_EQ(token, together[row]) << row;
  }
}

TEST_P(SamplingTest, BannedTokensNeverComeUp) {
  const float banned = -std::numeric_limits<float>::infinity();
  std::vector<float> logits(40, banned);
  logits[17] = -3.0f;
  EXPECT_EQ(Draws({.temperature = 2.0f}, logits, 50), std::vector<TokenId>(50, 17));
  EXPECT_EQ(Draws({.top_k = 5}, logits, 1)[0], 17);
}

TEST_P(SamplingTest, WhatIsNoNumberIsNeverDrawn) {
  std::vector<float> logits(40, std::nanf(""));
  EXPECT_EQ(Draws({}, logits, 1)[0], 0);  // nothing else is there
  logits[23] = 1.0f;
  logits[31] = 1.0f;
  EXPECT_EQ(Draws({.temperature = 0}, logits, 1)[0], 23);
  for (const TokenId token : Draws({.top_p = 0.9f}, logits, 20)) EXPECT_TRUE(token == 23 || token == 31);
  logits[35] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Draws({}, logits, 1)[0], 35);
}

TEST_P(SamplingTest, FindNonFiniteAgreesWithReference) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  Random random(57);
  for (int64_t vocab : {1, 15, 16, 17, 1024, 1039, 5003, 20011}) {
    // Row 0 is finite, with the largest numbers. The others have one or two values that are not.
    const int64_t rows = 8, last = vocab - 1;
    std::vector<float> logits = NormalValues(rows * vocab, random);
    const auto at = [&](int64_t row, int64_t token) -> float& { return logits[row * vocab + token]; };
    at(0, 0) = std::numeric_limits<float>::max();
    at(0, last) = -std::numeric_limits<float>::max();
    at(1, 0) = nan;
    at(2, last) = inf;
    at(3, last) = -inf;
    at(4, vocab / 2) = inf, at(4, last) = nan;
    at(5, vocab / 3) = -inf, at(5, vocab / 2) = inf;  // their sum is NaN, their order is kept
    for (int64_t i = 0; i < vocab; ++i) at(6, i) = -nan;
    at(7, last / 2) = 0.0f;
    std::vector<TokenId> actual(rows, -9), expected(rows, -9);
    kernels().find_non_finite({RowsOfLogits(logits, vocab), actual.data()}, execution());
    reference::FindNonFinite({RowsOfLogits(logits, vocab), expected.data()});
    EXPECT_EQ(actual, expected) << "a vocabulary of " << vocab;
    EXPECT_EQ(actual[0], -1);
    EXPECT_EQ(actual[3], last);
    EXPECT_EQ(actual[4], vocab / 2);
  }
}

TEST_P(SamplingTest, FindNonFiniteReadsOnlyItsRows) {
  std::vector<float> logits(3 * 20, std::nanf(""));
  for (int64_t i = 0; i < 17; ++i) logits[20 + i] = 1.0f;  // columns 17 to 19 are beyond the vocabulary
  TokenId token = -9;
  kernels().find_non_finite({{logits.data() + 20, DType::kF32, 1, 17, 20}, &token}, execution());
  EXPECT_EQ(token, -1);
}

TEST_P(SamplingTest, MaskLogitsAgreesWithReference) {
  Random random(58);
  for (int64_t vocab : {1, 31, 32, 33, 64, 255, 1000, 5003}) {
    const int64_t rows = 5, words = (vocab + 31) / 32, stride = vocab + 7;
    std::vector<float> logits = NormalValues(rows * stride, random);
    std::vector<uint32_t> masks(3 * words);
    for (int64_t i = 0; i < words; ++i) {
      masks[i] = i % 3 == 0 ? 0 : static_cast<uint32_t>(random());
      masks[words + i] = i % 2 == 0 ? ~uint32_t{0} : uint32_t{1} << (i % 32);
    }
    const std::vector<int32_t> row_masks = {0, -1, 2, 1, 0};  // mask 2 allows nothing
    std::vector<float> expected = logits;
    const auto matrix = [&](std::vector<float>& values) {
      return Matrix{values.data(), DType::kF32, rows, vocab, stride};
    };
    kernels().mask_logits({matrix(logits), row_masks.data(), masks.data()}, execution());
    reference::MaskLogits({matrix(expected), row_masks.data(), masks.data()});
    EXPECT_EQ(logits, expected) << "a vocabulary of " << vocab;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t token = 0; token < vocab; ++token) {
        const bool allowed =
            row_masks[row] < 0 || (masks[row_masks[row] * words + token / 32] >> (token % 32) & 1) != 0;
        EXPECT_EQ(std::isfinite(logits[row * stride + token]), allowed);
      }
    }
  }
}

TEST_P(SamplingTest, AdjustLogitsAgreesWithReference) {
  Random random(54);
  const std::vector<float> logits = NormalValues(150, random);
  const std::vector<LogitBias> biases = {{3, 2.5f}, {49, -100.0f}, {7, 0.5f}};
  const std::vector<LogitPenaltyCount> counts = {{0, 1, 0}, {7, 0, 3}, {8, 2, 2}, {49, 0, 1}, {20, 0, 0}};
  const std::vector<LogitAdjustment> rows = {
      {0, 3, 0, 5, 0.4f, 0.3f, 1.2f}, {}, {1, 2, 3, 2, -0.4f, 0.1f, 0.7f}};
  std::vector<float> actual = logits, expected = logits;
  kernels().adjust_logits({RowsOfLogits(actual, 50), rows.data(), biases.data(), counts.data()}, execution());
  reference::AdjustLogits({RowsOfLogits(expected, 50), rows.data(), biases.data(), counts.data()});
  for (int i = 0; i < 150; ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5f) << i;
  EXPECT_FLOAT_EQ(actual[3], logits[3] + 2.5f);
  EXPECT_EQ(actual[20], logits[20]);
  for (int i = 50; i < 100; ++i) EXPECT_EQ(actual[i], logits[i]);
}

TEST_P(SamplingTest, AdjustLogitsIgnoresTokensOutsideTheVocabulary) {
  std::vector<float> logits(4, 1.0f);
  const std::vector<LogitBias> biases = {{4, 2.5f}, {-1, 1.0f}};
  const std::vector<LogitPenaltyCount> counts = {{1000, 1, 1}, {-5, 1, 1}};
  const std::vector<LogitAdjustment> rows = {{0, 2, 0, 2, 1.0f, 1.0f, 2.0f}};
  kernels().adjust_logits({RowsOfLogits(logits, 4), rows.data(), biases.data(), counts.data()}, execution());
  EXPECT_EQ(logits, std::vector<float>(4, 1.0f));
}

TEST_P(SamplingTest, LogprobsAgreeWithReference) {
  Random random(55);
  for (int64_t vocab : {1, 17, 1030, 20000}) {
    std::vector<float> logits = NormalValues(2 * vocab, random, 5.0f);
    if (vocab > 10) logits[2] = logits[9];  // equals: the lower id first
    const int32_t num_top = static_cast<int32_t>(std::min<int64_t>(vocab, 20));
    // A given token of row 0, the drawn one of row 1, and row 0 again without others.
    const std::vector<ScoredRow> rows = {
        {0, static_cast<TokenId>(vocab / 3), num_top, 0}, {1, -1, num_top, num_top}, {0, 0, 0, 2 * num_top}};
    const std::vector<TokenId> drawn = {-5, static_cast<TokenId>(vocab / 2)};
    struct Result {
      std::vector<float> logprobs;
      std::vector<TokenId> ids;
      std::vector<float> values;
    } actual{std::vector<float>(3), std::vector<TokenId>(2 * num_top), std::vector<float>(2 * num_top)};
    Result expected = actual;
    const auto args = [&](Result& r) {
      return LogprobsArgs{RowsOfLogits(logits, vocab),
                          rows.data(),
                          3,
                          drawn.data(),
                          r.logprobs.data(),
                          r.ids.data(),
                          r.values.data()};
    };
    kernels().logprobs(args(actual), execution());
    reference::Logprobs(args(expected));
    const auto near = [](const std::vector<float>& a, const std::vector<float>& b) {
      for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 2e-6f * (1 + std::abs(b[i]))) << i;
    };
    near(actual.logprobs, expected.logprobs);
    EXPECT_EQ(actual.ids, expected.ids);
    near(actual.values, expected.values);
  }
}

}  // namespace
}  // namespace deeprack::kernels
