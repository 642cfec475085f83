// The parts of `deeprack perplexity`, each compared with a value computed by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "cli/perplexity/divergence.h"
#include "cli/perplexity/mean.h"
#include "cli/perplexity/score.h"
#include "cli/perplexity/windows.h"

namespace deeprack::cli {
namespace {

using ::testing::ElementsAre;

TEST(CutWindows, AreWholeAndBeginWithBos) {
  std::vector<TokenId> tokens(11);
  std::iota(tokens.begin(), tokens.end(), 10);
  EXPECT_THAT(CutWindows(tokens, 4, 1), ElementsAre(ElementsAre(1, 11, 12, 13), ElementsAre(1, 15, 16, 17)));
  EXPECT_THAT(CutWindows(tokens, 5, -1).front(), ElementsAre(10, 11, 12, 13, 14));
  EXPECT_TRUE(CutWindows(tokens, 12, 1).empty());
}

// llama.cpp scores the logits of positions [n_ctx / 2, n_ctx - 1), each for the token at the next position.
TEST(CutWindows, ScoresAsManyTokensAsLlamaCpp) {
  for (const int64_t context : {4, 5, 512}) {
    EXPECT_EQ(context - FirstScored(context), context - 1 - context / 2);
  }
}

TEST(Mean, OfValuesAndItsError) {
  Mean mean;
  EXPECT_EQ(mean.standard_error(), 0);
  for (const double value : {1.0, 2.0, 3.0, 6.0}) mean.Add(value);
  EXPECT_DOUBLE_EQ(mean.value(), 3);
  // The variance over the count is (4 + 1 + 0 + 9) / 4 = 3.5; the error of the mean is sqrt(3.5 / 3).
  EXPECT_DOUBLE_EQ(mean.standard_error(), std::sqrt(3.5 / 3));
}

TEST(Mean, KeepsDigitsFarFromZero) {
  Mean mean;
  for (int i = 0; i < 1000; ++i) mean.Add(1e9 + i % 2);
  EXPECT_DOUBLE_EQ(mean.value(), 1e9 + 0.5);
  EXPECT_NEAR(mean.standard_error(), 0.5 / std::sqrt(999), 1e-9);
}

ScoredToken Scored(const std::vector<std::pair<TokenId, double>>& probabilities) {
  ScoredToken scored;
  for (const auto& [token, p] : probabilities) {
    scored.top.push_back({token, static_cast<float>(std::log(p))});
  }
  return scored;
}

TEST(Divergence, OfWholeDistributions) {
  const ScoredToken reference = Scored({{0, 0.5}, {1, 0.25}, {2, 0.25}});
  const ScoredToken model = Scored({{0, 0.25}, {1, 0.25}, {2, 0.5}});
  const Divergence divergence = DivergenceOf(reference, model, /*whole=*/true);
  EXPECT_NEAR(divergence.kl, 0.5 * std::log(2) + 0.25 * std::log(0.5), 1e-6);
  EXPECT_NEAR(divergence.named_mass, 1, 1e-6);
  EXPECT_FALSE(divergence.same_top);
  EXPECT_NEAR(DivergenceOf(reference, reference, true).kl, 0, 1e-9);
  EXPECT_TRUE(DivergenceOf(reference, reference, true).same_top);
}

TEST(Divergence, OfPartialListsTakesTheRestAsOneAndIsNoLarger) {
  // The whole distributions are 0.5 0.3 0.1 0.1 (reference) and 0.4 0.2 0.3 0.1 (model). Each list names the
  // best two tokens, so only token 0 is in both lists.
  const ScoredToken reference = Scored({{0, 0.5}, {1, 0.3}}), model = Scored({{0, 0.4}, {2, 0.3}});
  const Divergence partial = DivergenceOf(reference, model, /*whole=*/false);
  EXPECT_NEAR(partial.kl, 0.5 * std::log(0.5 / 0.4) + 0.5 * std::log(0.5 / 0.6), 1e-6);
  EXPECT_NEAR(partial.named_mass, 0.5, 1e-6);
  EXPECT_TRUE(partial.same_top);
  const double whole = DivergenceOf(Scored({{0, 0.5}, {1, 0.3}, {2, 0.1}, {3, 0.1}}),
                                    Scored({{0, 0.4}, {1, 0.2}, {2, 0.3}, {3, 0.1}}), true)
                           .kl;
  EXPECT_LT(partial.kl, whole);
}

TEST(Divergence, EqualTopsAreTheLowestIds) {
  const ScoredToken reference = Scored({{3, 0.4}, {7, 0.4}, {9, 0.2}}),
                    model = Scored({{3, 0.5}, {7, 0.3}, {9, 0.2}});
  EXPECT_TRUE(DivergenceOf(reference, model, true).same_top);
}

const char kAnswer[] = R"({"choices": [
  {"index": 1, "logprobs": {"token_logprobs": [null, -1.0, -2.5],
                            "top_logprobs": [null, {"token_id:4": -1.0}, {"token_id:9": -0.5, "token_id:10": -2.5}]}},
  {"index": 0, "logprobs": {"token_logprobs": [null, -3.0, -4.0],
                            "top_logprobs": [null, {"token_id:4": -3.0}, {"token_id:5": -4.0}]}}]})";

TEST(ParseScores, PutsChoicesInOrder) {
  const std::vector<size_t> lengths = {3, 3};
  const auto scores = ParseScores(kAnswer, lengths, 2);
  ASSERT_TRUE(scores.ok()) << scores.status();
  ASSERT_EQ(scores->size(), 2u);
  ASSERT_EQ((*scores)[0].size(), 1u);
  EXPECT_EQ((*scores)[0][0].logprob, -4.0f);
  EXPECT_EQ((*scores)[1][0].logprob, -2.5f);
  ASSERT_EQ((*scores)[1][0].top.size(), 2u);
  EXPECT_EQ((*scores)[1][0].top[0].token, 9);
  EXPECT_EQ((*scores)[1][0].top[1].token, 10) << "ascending as numbers, not as text";
}

TEST(ParseScores, RefusesWhatWasNotAskedFor) {
  const std::vector<size_t> two = {3, 3}, longer = {3, 4}, one = {3};
  EXPECT_FALSE(ParseScores(kAnswer, longer, 2).ok());
  EXPECT_FALSE(ParseScores(kAnswer, one, 2).ok());
  EXPECT_FALSE(ParseScores(kAnswer, two, 0).ok()) << "the first token has no log-probability";
  EXPECT_FALSE(ParseScores("{}", one, 1).ok());
  EXPECT_FALSE(ParseScores(R"({"choices": [{"index": 0, "logprobs": null}]})", one, 1).ok());
  const char named_by_text[] =
      R"({"choices": [{"index": 0, "logprobs": {"token_logprobs": [null, -1], "top_logprobs": [null, {"a": -1}]}}]})";
  const std::vector<size_t> short_one = {2};
  EXPECT_FALSE(ParseScores(named_by_text, short_one, 1).ok());
}

}  // namespace
}  // namespace deeprack::cli
