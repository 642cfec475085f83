// A row of logits that is not finite ends its sequence without a token; neighbours in the step have theirs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/unit/engine/poisoned_checkpoint.h"
#include "tests/unit/engine/rack.h"

namespace deeprack::worker::testing {
namespace {

using Place = model::NonFiniteRow::Place;

std::unique_ptr<Rack> MakeRack(const EngineOptions& options) {
  auto rack = Rack::Create(options);
  EXPECT_TRUE(rack.ok()) << rack.status();
  return *std::move(rack);
}

// Without the poisoned token.
std::vector<TokenId> GoodTokens(int64_t count, uint32_t seed) {
  std::vector<TokenId> tokens = RandomTokens(count, seed);
  for (TokenId& token : tokens) token += token == kPoisonedToken;
  return tokens;
}

Sequence Good(SequenceId id, BlockId block, int32_t dp_rank = 0) {
  return {.id = id,
          .tokens = GoodTokens(12, static_cast<uint32_t>(id)),
          .blocks = {block},
          .dp_rank = dp_rank,
          .prompt_size = 10};
}

Sequence Poisoned(SequenceId id, BlockId block, int32_t dp_rank = 0) {
  Sequence sequence = Good(id, block, dp_rank);
  sequence.tokens[9] = kPoisonedToken;
  return sequence;
}

struct Fault {
  const char* norm;
  Place place;
  int32_t layer;
};

TEST(NonFiniteTest, TheLayerIsNamed) {
  for (const Fault& fault : {Fault{"model.layers.0.input_layernorm.weight", Place::kKvEntry, 0},
                             Fault{"model.layers.2.input_layernorm.weight", Place::kKvEntry, 2},
                             Fault{"model.layers.1.post_attention_layernorm.weight", Place::kKvEntry, 2},
                             Fault{"model.layers.3.post_attention_layernorm.weight", Place::kHiddenState, 3},
                             Fault{"model.norm.weight", Place::kHead, 3}}) {
    const std::string folder = WritePoisonedCheckpoint(fault.norm);
    for (const auto& [compute, kv_cache] :
         {std::pair{DType::kBF16, DType::kBF16}, {DType::kF32, DType::kF32}, {DType::kF32, DType::kF8E4M3}}) {
      SCOPED_TRACE(::testing::Message() << fault.norm << ", " << Name(compute) << ", " << Name(kv_cache));
      EngineOptions options = TinyOptions(folder, compute);
      options.kv_cache = kv_cache;
      const auto rack = MakeRack(options);
      const auto results = rack->Execute({.epoch = kEpoch, .sequences = {Poisoned(1, 3).Chunk(0, 10)}});
      ASSERT_TRUE(results.ok()) << results.status();
      const model::NonFiniteRow expected = {
          .position = 9, .token = 0, .place = fault.place, .layer = fault.layer};
      EXPECT_EQ((*results)[0].non_finite, expected);
      EXPECT_FALSE((*results)[0].sampled);
      // A sequence without the token has none of this.
      EXPECT_TRUE((*rack->Execute({.epoch = kEpoch, .sequences = {Good(2, 3).Chunk(0, 10)}}))[0].sampled);
    }
  }
}

// A stage looks at its own layers. The rank that draws names itself.
TEST(NonFiniteTest, InALaterStageTheFirstLayerThereIsNamed) {
  const auto rack = MakeRack(TinyOptions(WritePoisonedCheckpoint("model.layers.0.input_layernorm.weight"),
                                         DType::kBF16, {.tp = 2, .dp = 1, .ep = 2, .pp = 2}));
  const auto results = rack->Execute({.epoch = kEpoch, .sequences = {Poisoned(1, 0).Chunk(0, 10)}});
  ASSERT_TRUE(results.ok()) << results.status();
  const model::NonFiniteRow expected = {
      .position = 9, .token = 0, .place = Place::kKvEntry, .layer = 2, .rank = 2};
  EXPECT_EQ((*results)[0].non_finite, expected);
}

TEST(NonFiniteTest, NeighboursKeepTheirTokens) {
  const std::string folder = WritePoisonedCheckpoint("model.layers.2.input_layernorm.weight");
  for (const auto exchange : {model::ExpertExchange::kReplicated, model::ExpertExchange::kAllToAll}) {
    for (const model::Layout& layout : {model::Layout{}, model::Layout{.tp = 2, .dp = 2, .ep = 4}}) {
      SCOPED_TRACE(::testing::Message() << ToString(layout));
      const auto rack = MakeRack(TinyOptions(folder, DType::kBF16, layout, exchange));
      const int32_t last = layout.dp - 1;
      const Sequence a = Good(1, 1), c = Good(3, 3, last);
      const auto step = [&](int64_t begin, int64_t end, bool company) {
        WrittenStep plan = {.epoch = kEpoch, .sequences = {a.Chunk(begin, end), c.Chunk(begin, end)}};
        plan.sequences[1].sampling.temperature = 1.0f;
        plan.sequences[1].sampling.top_logprobs = 2;
        plan.sequences[1].sampling.presence_penalty = 0.5f;
        if (company) {
          plan.sequences.insert(plan.sequences.begin() + 1, Poisoned(2, 2).Chunk(0, 10));
          plan.sequences.push_back(Poisoned(4, 4, last).Chunk(0, 10));
        }
        const auto results = rack->Execute(plan);
        EXPECT_TRUE(results.ok()) << results.status();
        return *results;
      };
      for (const auto& [begin, end] : {std::pair{0, 10}, {10, 11}, {11, 12}}) {
        const auto alone = step(begin, end, false);
        const auto together = step(begin, end, true);
        EXPECT_TRUE(alone[0].sampled && alone[1].sampled);
        EXPECT_EQ(together[0], alone[0]);
        EXPECT_EQ(together[2], alone[1]);
        for (const size_t poisoned : {1, 3}) {
          EXPECT_TRUE(together[poisoned].non_finite.has_value());
          EXPECT_FALSE(together[poisoned].sampled);
        }
      }
    }
  }
}

TEST(NonFiniteTest, AScoredRowCountsToo) {
  const auto rack = MakeRack(TinyOptions(WritePoisonedCheckpoint("model.norm.weight")));
  Sequence s = Good(1, 5);
  s.tokens[3] = kPoisonedToken;
  WrittenSequence plan = s.Chunk(0, 10);
  plan.prompt_logprobs = 1;
  const auto results = rack->Execute({.epoch = kEpoch, .sequences = {plan}});
  ASSERT_TRUE(results.ok()) << results.status();
  const model::NonFiniteRow expected = {.position = 3, .token = 0, .place = Place::kHead, .layer = 3};
  EXPECT_EQ((*results)[0].non_finite, expected);
  EXPECT_FALSE((*results)[0].sampled);
  EXPECT_TRUE((*results)[0].prompt_logprobs.empty());
  // Without scores only the drawn row counts, and a fault in the head touches no other row.
  EXPECT_TRUE((*rack->Execute({.epoch = kEpoch, .sequences = {s.Chunk(0, 10)}}))[0].sampled);
}

// A ban makes an adjusted logit infinite. The raw logits are finite.
TEST(NonFiniteTest, ABannedTokenIsNoFault) {
  const auto rack = MakeRack(TinyOptions(WritePoisonedCheckpoint("model.norm.weight")));
  WrittenStep plan = {.epoch = kEpoch, .sequences = {Good(1, 0).Chunk(0, 10)}};
  const TokenId best = (*rack->Execute(plan))[0].token;
  plan.sequences[0].sampling.logit_bias = {{best, -std::numeric_limits<float>::infinity()}};
  const auto results = rack->Execute(plan);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_FALSE((*results)[0].non_finite.has_value());
  EXPECT_TRUE((*results)[0].sampled);
  EXPECT_NE((*results)[0].token, best);
}

TEST(NonFiniteTest, TheTextNamesRankPositionTokenAndLayer) {
  model::NonFiniteRow row = {.position = 17, .token = 5, .place = Place::kKvEntry, .layer = 3, .rank = 6};
  EXPECT_EQ(model::Describe(row),
            "rank 6: the logits after position 17 are not finite (infinite or NaN), first that of token 5; "
            "layer 3 is "
            "the first on this rank whose KV entry of the position is not finite");
  row.place = Place::kHiddenState;
  EXPECT_THAT(model::Describe(row), ::testing::HasSubstr("the hidden state after layer 3 is not"));
  row.place = Place::kHead;
  EXPECT_THAT(model::Describe(row), ::testing::HasSubstr("the final norm or the head made the fault"));
  row.place = Place::kUnknown;
  EXPECT_THAT(model::Describe(row), ::testing::EndsWith("first that of token 5"));
}

}  // namespace
}  // namespace deeprack::worker::testing
