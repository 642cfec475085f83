// Speculation with the MTP layer changes no token: engines with drafts beside engines without the layer.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/engine/draft_run.h"
#include "tests/unit/engine/poisoned_checkpoint.h"
#include "tests/unit/engine/tiny_checkpoint.h"

namespace deeprack::worker::testing {
namespace {

struct DraftCase {
  const char* name;
  TinyModel model;
  model::Layout layout;
  model::ExpertExchange exchange = model::ExpertExchange::kReplicated;
};

class DraftsTest : public ::testing::TestWithParam<DraftCase> {};

TEST_P(DraftsTest, DraftsChangeNoToken) {
  const DraftCase& with = GetParam();
  TinyModel model = with.model;
  model.mtp_layers = 1;
  const std::string folder = WriteTinyCheckpoint(model);
  EngineOptions options = TinyOptions(folder, DType::kBF16, with.layout, with.exchange);
  auto plain = Rack::Create(options);
  ASSERT_TRUE(plain.ok()) << plain.status();
  const std::vector<DraftedSequence> expected =
      DraftRun(**plain, options, DraftedSequences(with.layout)).Run({});
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(expected[i].drawn.size(), kDraftedSizes[i]);
  plain->reset();

  options.speculative_tokens = 3;
  auto drafting = Rack::Create(options);
  ASSERT_TRUE(drafting.ok()) << drafting.status();
  EXPECT_EQ((*drafting)->engine(0).memory().speculative_tokens, 3);
  for (const bool right : {false, true}) {
    SCOPED_TRACE(right ? "many drafts are right" : "the layer's own drafts");
    DraftRun run(**drafting, options, DraftedSequences(with.layout));
    const std::vector<DraftedSequence> drawn = run.Run(right ? expected : std::vector<DraftedSequence>{});
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(drawn[i].drawn, expected[i].drawn) << "sequence " << i + 1;
      EXPECT_EQ(drawn[i].logprobs, expected[i].logprobs) << "sequence " << i + 1;
    }
    if (right) {
      EXPECT_GT(run.accepted(), 10);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, DraftsTest,
    ::testing::Values(
        DraftCase{"alone", {}, {}}, DraftCase{"tp2", {}, {.tp = 2, .ep = 2}},
        DraftCase{"dp2_pp2", {}, {.dp = 2, .ep = 2, .pp = 2}},
        DraftCase{"tp2_dp2_ep4", {}, {.tp = 2, .dp = 2, .ep = 4}, model::ExpertExchange::kAllToAll},
        DraftCase{
            "no_q_lora_tp4", {.q_lora = false, .fp8 = false, .yarn = false, .seed = 2}, {.tp = 4, .ep = 4}},
        DraftCase{"f32", {.fp8 = false, .dense_layers = 2, .plain_type = DType::kF32, .seed = 3}, {}},
        DraftCase{"shared_experts_pp3", {.layers = 5, .shared_experts = 2, .seed = 4}, {.pp = 3}}),
    [](const auto& info) { return info.param.name; });

// The wrong drafts are a token whose entries of the KV cache are not finite.
TEST(PoisonedDraftsTest, ReachNoTokenBeforeOrAfterThem) {
  EngineOptions options = TinyOptions(
      WritePoisonedCheckpoint("model.layers.1.input_layernorm.weight", {.mtp_layers = 1}), DType::kBF16);
  auto plain = Rack::Create(options);
  ASSERT_TRUE(plain.ok()) << plain.status();
  const auto expected = DraftRun(**plain, options, SequencesWithout(kPoisonedToken)).Run({});
  options.speculative_tokens = 3;
  auto drafting = Rack::Create(options);
  ASSERT_TRUE(drafting.ok()) << drafting.status();
  DraftRun run(**drafting, options, SequencesWithout(kPoisonedToken));
  const auto drawn = run.Run(expected, kPoisonedToken);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(drawn[i].drawn, expected[i].drawn);
  EXPECT_GT(run.accepted(), 10);
}

}  // namespace
}  // namespace deeprack::worker::testing
