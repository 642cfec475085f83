#include "kernels/api/sampling.h"

#include "kernels/cpu/philox.h"
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

class SamplingTest : public KernelTest {
 protected:
  TokenId Draw(SampleArgs args, const std::vector<float>& logits, uint64_t position) {
    args.logits = logits.data();
    args.vocab = static_cast<int64_t>(logits.size());
    args.seed = 1234;
    args.position = position;
    return kernels().sample(args, execution());
  }
};
DEEPRACK_INSTANTIATE_KERNEL_TEST(SamplingTest);

TEST_P(SamplingTest, ZeroTemperatureTakesTheLargestAndLowest) {
  for (int64_t vocab : {1, 15, 16, 100, 5000}) {
    Random random(51);
    std::vector<float> logits = NormalValues(vocab, random);
    logits[vocab / 2] = logits[vocab - 1] = 50.0f;
    EXPECT_EQ(Draw({.temperature = 0}, logits, 0), vocab / 2);
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
  const int draws = 10000;
  const std::vector<float> logits = NormalValues(60, random, 2.0f);
  for (const SampleArgs& args :
       {SampleArgs{}, SampleArgs{.temperature = 0.6f, .top_p = 0.95f}, SampleArgs{.top_k = 5},
        SampleArgs{.top_k = 1}, SampleArgs{.temperature = 1.5f, .top_k = 40, .top_p = 0.8f, .min_p = 0.05f},
        SampleArgs{.min_p = 0.2f}, SampleArgs{.top_p = 0.01f},
        SampleArgs{.temperature = 0.3f, .top_k = 1000, .top_p = 0.5f}}) {
    SampleArgs reference_args = args;
    reference_args.logits = logits.data();
    reference_args.vocab = 60;
    std::vector<int> counts(60, 0);
    for (int i = 0; i < draws; ++i) ++counts[Draw(args, logits, i)];
    SCOPED_TRACE(testing::Message() << "temperature " << args.temperature << " top_k " << args.top_k
                                    << " top_p " << args.top_p << " min_p " << args.min_p);
    ExpectDistribution(reference::SampleDistribution(reference_args), counts, draws);
  }
}

TEST_P(SamplingTest, KeepsExactlyTheSupportThatIsAsked) {
  // Probabilities 0.5, 0.25, 0.125, 0.125: a mass of exactly 0.75 needs two tokens, just above it three.
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(4.0f), 0.0f};
  const auto support = [&](const SampleArgs& args) {
    std::vector<bool> seen(4, false);
    for (int i = 0; i < 300; ++i) seen[Draw(args, logits, i)] = true;
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
    const std::vector<float> logits = NormalValues(20011, random, deviation);
    for (const SampleArgs& args : {SampleArgs{}, SampleArgs{.temperature = 0.6f, .top_p = 0.95f},
                                   SampleArgs{.top_k = 50, .top_p = 0.9f}, SampleArgs{.min_p = 0.1f}}) {
      SampleArgs full = args;
      full.logits = logits.data();
      full.vocab = 20011;
      full.seed = 1234;
      const std::vector<double> probabilities = reference::SampleDistribution(full);
      for (uint64_t position = 0; position < 8; ++position) {
        full.position = position;
        const TokenId token = Draw(args, logits, position);
        EXPECT_GT(probabilities[token], 0.0);
        EXPECT_EQ(token, AvailableCpuKernels().front()->sample(full, execution()));
      }
    }
  }
}

TEST_P(SamplingTest, BannedTokensNeverComeUp) {
  const float banned = -std::numeric_limits<float>::infinity();
  std::vector<float> logits(40, banned);
  logits[17] = -3.0f;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Draw({.temperature = 2.0f}, logits, i), 17);
  EXPECT_EQ(Draw({.top_k = 5}, logits, 0), 17);
}

TEST_P(SamplingTest, AdjustLogitsAgreesWithReference) {
  Random random(54);
  const std::vector<float> logits = NormalValues(50, random);
  const LogitBias biases[] = {{3, 2.5f}, {49, -100.0f}, {3, 0.5f}};
  const LogitPenaltyCount counts[] = {{0, 1, 0}, {7, 0, 3}, {8, 2, 2}, {49, 0, 1}, {20, 0, 0}};
  std::vector<float> actual = logits, expected = logits;
  const auto args = [&](std::vector<float>& v) {
    return AdjustLogitsArgs{v.data(), 50, biases, 3, counts, 5, 0.4f, 0.3f, 1.2f};
  };
  kernels().adjust_logits(args(actual), execution());
  reference::AdjustLogits(args(expected));
  for (int i = 0; i < 50; ++i) EXPECT_NEAR(actual[i], expected[i], 1e-5f) << i;
  EXPECT_FLOAT_EQ(actual[3], logits[3] + 3.0f);
  EXPECT_EQ(actual[20], logits[20]);
}

TEST_P(SamplingTest, AdjustLogitsIgnoresTokensOutsideTheVocabulary) {
  std::vector<float> logits(4, 1.0f);
  const LogitBias biases[] = {{4, 2.5f}, {-1, 1.0f}};
  const LogitPenaltyCount counts[] = {{1000, 1, 1}, {-5, 1, 1}};
  kernels().adjust_logits({logits.data(), 4, biases, 2, counts, 2, 1.0f, 1.0f, 2.0f}, execution());
  EXPECT_EQ(logits, std::vector<float>(4, 1.0f));
}

TEST_P(SamplingTest, LogprobsAgreeWithReference) {
  Random random(55);
  for (int64_t vocab : {1, 17, 1030, 20000}) {
    std::vector<float> logits = NormalValues(vocab, random, 5.0f);
    if (vocab > 10) logits[2] = logits[9];  // equals: the lower id first
    const int32_t num_top = static_cast<int32_t>(std::min<int64_t>(vocab, 20));
    struct Result {
      float logprob = 0;
      std::vector<TokenId> ids;
      std::vector<float> values;
    } actual{0, std::vector<TokenId>(num_top), std::vector<float>(num_top)};
    Result expected = actual;
    const auto args = [&](Result& r) {
      return LogprobsArgs{logits.data(), vocab,          static_cast<TokenId>(vocab / 3), num_top, &r.logprob,
                          r.ids.data(),  r.values.data()};
    };
    kernels().logprobs(args(actual), execution());
    reference::Logprobs(args(expected));
    EXPECT_NEAR(actual.logprob, expected.logprob, 2e-6f * (1 + std::abs(expected.logprob)));
    EXPECT_EQ(actual.ids, expected.ids);
    for (int32_t i = 0; i < num_top; ++i)
      EXPECT_NEAR(actual.values[i], expected.values[i], 2e-6f * (1 + std::abs(expected.values[i])));
  }
}

}  // namespace
}  // namespace deeprack::kernels
