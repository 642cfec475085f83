// Every layout and exchange gives the logits of a single rank, up to the order of sums.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"

namespace deeprack::worker::testing {
namespace {

constexpr double kTolerance = 1e-4;
// A last bit before the cache sometimes moves a value of an entry across a border of e4m3.
constexpr double kFp8CacheTolerance = 1e-2;

std::vector<Sequence> Sequences(int32_t dp) {
  std::vector<Sequence> sequences = {{.id = 1, .tokens = RandomTokens(90, 21), .blocks = {1, 0}},
                                     {.id = 2, .tokens = RandomTokens(33, 22), .blocks = {5}},
                                     {.id = 3, .tokens = RandomTokens(70, 23), .blocks = {7, 6}}};
  for (Sequence& sequence : sequences) sequence.dp_rank = static_cast<int32_t>(sequence.id) % dp;
  return sequences;
}

// Two prefill steps, the second also with decodes, and one step with a single sequence (so a dp group is
// idle).
std::vector<Logits> Serve(Rack& rack, int32_t dp) {
  const std::vector<Sequence> s = Sequences(dp);
  std::vector<Logits> all;
  const auto keep = [&](std::vector<WrittenSequence> chunks) {
    for (Logits& logits : rack.LogitsOf({.epoch = kEpoch, .sequences = std::move(chunks)})) {
      all.push_back(std::move(logits));
    }
  };
  keep({s[0].Chunk(0, 89), s[1].Chunk(0, 20)});
  keep({s[1].Chunk(20, 33), s[0].Chunk(89, 90), s[2].Chunk(0, 69)});
  keep({s[2].Chunk(69, 70)});
  return all;
}

double RelativeError(const Logits& expected, const Logits& actual) {
  double worst = 0;
  double largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(expected[i]) - static_cast<double>(actual[i])));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return std::isfinite(worst) ? worst / largest : INFINITY;
}

struct Variant {
  const char* name;
  TinyModel model;
  std::optional<DType> kv_cache = {};
};

class LayoutAgreementTest : public ::testing::TestWithParam<Variant> {};

TEST_P(LayoutAgreementTest, LogitsOfEveryLayout) {
  const std::string folder = WriteTinyCheckpoint(GetParam().model);
  const auto options = [&](const model::Layout& layout, model::ExpertExchange exchange) {
    EngineOptions options = TinyOptions(folder, DType::kF32, layout, exchange);
    options.kv_cache = GetParam().kv_cache;
    return options;
  };
  auto single = Rack::Create(options({}, model::ExpertExchange::kReplicated));
  ASSERT_TRUE(single.ok()) << single.status();
  const std::vector<Logits> expected = Serve(**single, 1);

  const model::Layout layouts[] = {{.tp = 1, .dp = 1, .ep = 1, .pp = 1}, {.tp = 2, .dp = 1, .ep = 1, .pp = 1},
                                   {.tp = 2, .dp = 1, .ep = 2, .pp = 1}, {.tp = 4, .dp = 1, .ep = 2, .pp = 1},
                                   {.tp = 4, .dp = 1, .ep = 4, .pp = 1}, {.tp = 1, .dp = 2, .ep = 1, .pp = 1},
                                   {.tp = 1, .dp = 2, .ep = 2, .pp = 1}, {.tp = 2, .dp = 2, .ep = 1, .pp = 1},
                                   {.tp = 2, .dp = 2, .ep = 4, .pp = 1}, {.tp = 1, .dp = 1, .ep = 1, .pp = 2},
                                   {.tp = 2, .dp = 1, .ep = 2, .pp = 2}, {.tp = 2, .dp = 2, .ep = 2, .pp = 2},
                                   {.tp = 1, .dp = 1, .ep = 1, .pp = 4}};
  for (const model::Layout& layout : layouts) {
    for (const model::ExpertExchange exchange :
         {model::ExpertExchange::kReplicated, model::ExpertExchange::kAllToAll}) {
      SCOPED_TRACE(ToString(layout) +
                   (exchange == model::ExpertExchange::kReplicated ? " replicated" : " all_to_all"));
      auto rack = Rack::Create(options(layout, exchange));
      ASSERT_TRUE(rack.ok()) << rack.status();
      const std::vector<Logits> actual = Serve(**rack, layout.dp);
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LT(RelativeError(expected[i], actual[i]),
                  GetParam().kv_cache ? kFp8CacheTolerance : kTolerance)
            << "row " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, LayoutAgreementTest,
    ::testing::Values(Variant{"fp8", {}}, Variant{"fp8_cache", {}, DType::kF8E4M3},
                      Variant{"plain_no_q_lora", {.q_lora = false, .fp8 = false, .yarn = false}},
                      Variant{"all_moe_no_shared", {.dense_layers = 0, .shared_experts = 0}},
                      Variant{"all_dense_tied", {.tie_word_embeddings = true, .dense_layers = 4}},
                      Variant{"two_shared", {.shared_experts = 2}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace deeprack::worker::testing
