// The whole engine on a card: logits and tokens are bitwise those of the CPU. In CI the card is emulated
// (emulated_card.cc): the source of the plain CUDA kernels, memory that the host cannot access, and a stream
// that runs when the host waits for it. `make gpu-check` runs the same tests on a real card (tests/gpu).
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "kernels/api/kernel_set.h"
#include "tests/source_tree.h"
#include "tests/unit/engine/card.h"
#include "tests/unit/engine/draft_run.h"
#include "tests/unit/engine/poisoned_checkpoint.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/device/cpu_device.h"

namespace deeprack::worker::testing {
namespace {

std::unique_ptr<Device> Card() { return MakeCard(nullptr); }
// The plain kernels add in the order of the CPU kernels that every processor runs.
std::unique_ptr<Device> Generic() { return MakeCpuDevice(1, *kernels::AvailableCpuKernels().front()); }

std::unique_ptr<Rack> MakeRack(const EngineOptions& options, const Rack::MakeDevice& make) {
  auto rack = Rack::Create(options, make);
  EXPECT_TRUE(rack.ok()) << rack.status();
  return *std::move(rack);
}

// Prefills across the end of a page, decodes together with a prefill, draws of every kind, and a replay.
std::vector<WrittenStep> Steps(int32_t dp) {
  Sequence a = {.id = 1, .tokens = RandomTokens(72, 31), .blocks = {3, 1}, .prompt_size = 70};
  Sequence b = {.id = 2, .tokens = RandomTokens(9, 32), .blocks = {4}, .dp_rank = dp - 1, .prompt_size = 8};
  Sequence c = {.id = 3, .tokens = RandomTokens(5, 33), .blocks = {6}};
  std::vector<WrittenStep> plans;
  plans.push_back({.epoch = kEpoch, .sequences = {a.Chunk(0, 70), b.Chunk(0, 8)}});
  plans[0].sequences[1].prompt_logprobs = 2;
  plans[0].sequences[1].next_prompt_token = b.tokens[8];
  plans.push_back({.epoch = kEpoch, .sequences = {a.Chunk(70, 71), c.Chunk(0, 5), b.Chunk(8, 9)}});
  model::SamplingParams& penalised = plans[1].sequences[0].sampling;
  penalised.temperature = 0.8f;
  penalised.seed = 5;
  penalised.presence_penalty = 0.5f;
  penalised.logit_bias = {{7, 3.0f}, {9, -100.0f}};
  penalised.top_logprobs = 3;
  plans[1].sequences[0].token_counts = {{7, 1, 2}, {20, 0, 1}};
  plans[1].sequences[1].sampling.temperature = 1.3f;
  plans[1].sequences[1].sampling.top_p = 0.7f;
  plans[1].sequences[2].sampling.temperature = 1.0f;
  plans[1].sequences[2].sampling.top_k = 20;
  plans.push_back({.epoch = kEpoch, .sequences = {a.Chunk(71, 72)}});
  plans.push_back({.epoch = kEpoch, .sequences = {c.Chunk(0, 5), a.Chunk(64, 72)}});
  return plans;
}

void ExpectSameAnswers(const Answer& actual, const Answer& expected) {
  EXPECT_EQ(actual.sequence, expected.sequence);
  EXPECT_EQ(actual.token, expected.token);
  const auto same = [](const model::PositionLogprobs& a, const model::PositionLogprobs& b) {
    EXPECT_EQ(a.chosen.token, b.chosen.token);
    EXPECT_NEAR(a.chosen.logprob, b.chosen.logprob, 1e-5);
    ASSERT_EQ(a.top.size(), b.top.size());
    for (size_t i = 0; i < a.top.size(); ++i) {
      EXPECT_EQ(a.top[i].token, b.top[i].token);
      EXPECT_NEAR(a.top[i].logprob, b.top[i].logprob, 1e-5);
    }
  };
  same(actual.logprobs, expected.logprobs);
  ASSERT_EQ(actual.prompt_logprobs.size(), expected.prompt_logprobs.size());
  for (size_t i = 0; i < actual.prompt_logprobs.size(); ++i)
    same(actual.prompt_logprobs[i], expected.prompt_logprobs[i]);
}

std::string DemoModel() {
  const char* elsewhere = std::getenv("DEEPRACK_DEMO_MODEL");
  return elsewhere != nullptr ? elsewhere : InSourceTree("demo/model");
}

struct Case {
  const char* name;
  TinyModel model;
  DType compute = DType::kBF16;
  model::Layout layout;
  model::ExpertExchange exchange = model::ExpertExchange::kReplicated;
  model::PrefillAttention prefill = model::PrefillAttention::kExpanded;
  std::optional<DType> kv_cache = {};
};

// The card finds the row, and the copies from its memory name the layer.
TEST(CardNonFiniteTest, IsFoundAsOnTheCpu) {
  using Place = model::NonFiniteRow::Place;
  Sequence good = {.id = 1, .tokens = std::vector<TokenId>(10, 20), .blocks = {1}};
  Sequence poisoned = {.id = 2, .tokens = std::vector<TokenId>(10, 21), .blocks = {2}};
  poisoned.tokens[9] = kPoisonedToken;
  const WrittenStep plan = {.epoch = kEpoch, .sequences = {good.Chunk(0, 10), poisoned.Chunk(0, 10)}};
  for (const auto& [norm, place, layer, cache] :
       {std::tuple{"model.layers.1.input_layernorm.weight", Place::kKvEntry, 1, DType::kBF16},
        {"model.layers.1.input_layernorm.weight", Place::kKvEntry, 1, DType::kF8E4M3},
        {"model.norm.weight", Place::kHead, 1, DType::kBF16}}) {
    EngineOptions options = TinyOptions(WritePoisonedCheckpoint(norm, {.layers = 2}), DType::kBF16);
    options.max_step_tokens = 80;
    options.kv_cache = cache;
    const auto card = MakeRack(options, Card)->Execute(plan);
    const auto cpu = MakeRack(options, Generic)->Execute(plan);
    ASSERT_TRUE(card.ok() && cpu.ok()) << card.status() << cpu.status();
    EXPECT_EQ((*card)[0], (*cpu)[0]);
    EXPECT_TRUE((*card)[0].sampled);
    EXPECT_FALSE((*card)[1].sampled);
    const model::NonFiniteRow expected = {.position = 9, .token = 0, .place = place, .layer = layer};
    EXPECT_EQ((*card)[1].non_finite, expected);
    EXPECT_EQ((*cpu)[1].non_finite, expected);
  }
}

class CardEngineTest : public ::testing::TestWithParam<Case> {};

TEST_P(CardEngineTest, GivesTheCpusLogitsBitForBit) {
  const Case& c = GetParam();
  EngineOptions options = TinyOptions(WriteTinyCheckpoint(c.model), c.compute, c.layout, c.exchange);
  options.max_step_tokens = 80;
  options.kv_cache = c.kv_cache;
  options.prefill_attention = c.prefill;
  const auto card = MakeRack(options, Card);
  const auto cpu = MakeRack(options, Generic);
  for (const WrittenStep& plan : Steps(c.layout.dp)) {
    const auto actual = card->Execute(plan);
    const auto expected = cpu->Execute(plan);
    ASSERT_TRUE(actual.ok()) << actual.status();
    ASSERT_TRUE(expected.ok()) << expected.status();
    for (size_t i = 0; i < expected->size(); ++i) ExpectSameAnswers((*actual)[i], (*expected)[i]);
    const std::vector<Logits> actual_logits = card->LastLogits(plan);
    const std::vector<Logits> expected_logits = cpu->LastLogits(plan);
    for (size_t i = 0; i < expected_logits.size(); ++i) {
      ASSERT_EQ(actual_logits[i].size(), expected_logits[i].size());
      EXPECT_EQ(std::memcmp(actual_logits[i].data(), expected_logits[i].data(),
                            expected_logits[i].size() * sizeof(float)),
                0)
          << "sequence " << i;
    }
  }
}

constexpr auto kExpanded = model::PrefillAttention::kExpanded;
constexpr auto kAbsorbed = model::PrefillAttention::kAbsorbed;
constexpr auto kReplicated = model::ExpertExchange::kReplicated;
constexpr auto kAllToAll = model::ExpertExchange::kAllToAll;

INSTANTIATE_TEST_SUITE_P(
    Layouts, CardEngineTest,
    ::testing::Values(
        Case{"bf16", {}}, Case{"f32_no_q_lora", {.q_lora = false, .fp8 = false}, DType::kF32},
        Case{"grouped_query", {.grouped_query = true}},
        Case{"grouped_query_f32_tp2", {.grouped_query = true}, DType::kF32, {.tp = 2}},
        Case{"absorbed", {}, DType::kBF16, {}, kReplicated, kAbsorbed},
        Case{"absorbed_tp2_dp2", {}, DType::kBF16, {.tp = 2, .dp = 2}, kReplicated, kAbsorbed},
        Case{"all_to_all_alone", {}, DType::kBF16, {}, kAllToAll},
        Case{"tp2_ep2", {}, DType::kBF16, {.tp = 2, .ep = 2}},
        Case{"tp2_ep2_all_to_all", {}, DType::kF32, {.tp = 2, .ep = 2}, kAllToAll},
        Case{"dp2_ep2", {}, DType::kBF16, {.dp = 2, .ep = 2}},
        Case{"dp2_ep2_all_to_all", {}, DType::kBF16, {.dp = 2, .ep = 2}, kAllToAll},
        Case{"pp2", {}, DType::kF32, {.pp = 2}},
        Case{"fp8_cache", {}, DType::kBF16, {}, kReplicated, kExpanded, DType::kF8E4M3},
        Case{"fp8_cache_absorbed", {}, DType::kBF16, {}, kReplicated, kAbsorbed, DType::kF8E4M3},
        Case{"fp8_cache_f32_tp2", {}, DType::kF32, {.tp = 2}, kReplicated, kExpanded, DType::kF8E4M3}),
    [](const auto& info) { return std::string(info.param.name); });

// A packed file of the CPU is valid for a card and the other way round if both keep the same types.
TEST(CardEngineTest, PackedWeightsAreCopiedToTheCard) {
  EngineOptions options = TinyOptions(WriteTinyCheckpoint({}), DType::kBF16, {.tp = 2, .ep = 2});
  const WrittenStep plan = Steps(1).front();
  const Logits expected = MakeRack(options, Card)->LogitsOf(plan).front();
  options.packed.full_check = true;
  for (const Rack::MakeDevice& writer : {Rack::MakeDevice(Card), Rack::MakeDevice(Generic)}) {
    options.packed.folder = options.model_path + "/packed";
    std::filesystem::remove_all(options.packed.folder);
    EXPECT_EQ(MakeRack(options, writer)->LogitsOf(plan).front(), expected);
    const auto packed_at = [&] {
      std::vector<std::filesystem::file_time_type> times;
      for (const auto& file : std::filesystem::directory_iterator(options.packed.folder))
        times.push_back(file.last_write_time());
      return times;
    };
    const auto before = packed_at();
    EXPECT_EQ(before.size(), 2u);
    for (const Rack::MakeDevice& reader : {Rack::MakeDevice(Card), Rack::MakeDevice(Generic)}) {
      EXPECT_EQ(MakeRack(options, reader)->LogitsOf(plan).front(), expected);
      EXPECT_EQ(packed_at(), before) << "not packed again";
    }
  }
}

TEST(CardEngineTest, RanksMeetAgainOnTheCardsTheyHave) {
  for (const model::Layout& layout : {model::Layout{}, model::Layout{.tp = 2, .ep = 2}}) {
    const auto rack = MakeRack(TinyOptions(WriteTinyCheckpoint({}), DType::kBF16, layout), Card);
    WrittenStep plan = Steps(1).front();
    const std::vector<Logits> before = rack->LogitsOf(plan);
    for (plan.epoch = kEpoch + 1; plan.epoch < kEpoch + 3; ++plan.epoch) {
      const absl::Status met = rack->Rejoin(plan.epoch);
      ASSERT_TRUE(met.ok()) << met;
      EXPECT_EQ(rack->LogitsOf(plan), before);
    }
  }
}

// Batches of different sizes, each padded to a recording for several sizes; every kind of draw; rows of
// sequences that have ended.
TEST(CardEngineTest, DecodesFromRecordingsGiveTheSameBits) {
  for (const bool grouped_query : {false, true}) {
    const std::string folder = WriteTinyCheckpoint({.layers = 3, .grouped_query = grouped_query});
    EngineOptions options = TinyOptions(folder, DType::kBF16);
    options.max_step_tokens = 40;
    const auto cpu = MakeRack(options, Generic);
    GraphCounts counts;
    options.decode_graphs = true;
    const auto card = MakeRack(options, [&] { return MakeCard(&counts); });
    std::vector<Sequence> sequences;
    for (int i = 0; i < 5; ++i) {
      sequences.push_back({.id = SequenceId(i + 1),
                           .tokens = RandomTokens(20, 40 + static_cast<uint32_t>(i)),
                           .blocks = {BlockId(7 - i)},
                           .prompt_size = 6});
    }
    const auto expect_same = [&](const WrittenStep& plan) {
      const auto actual = card->Execute(plan);
      const auto expected = cpu->Execute(plan);
      ASSERT_TRUE(actual.ok()) << actual.status();
      ASSERT_TRUE(expected.ok()) << expected.status();
      for (size_t i = 0; i < expected->size(); ++i) ExpectSameAnswers((*actual)[i], (*expected)[i]);
      EXPECT_EQ(card->LastLogits(plan), cpu->LastLogits(plan));
    };
    for (const Sequence& sequence : sequences)
      expect_same({.epoch = kEpoch, .sequences = {sequence.Chunk(0, 6)}});
    const std::vector<std::vector<int>> batches = {{0}, {1, 2, 3}, {0, 1, 2, 3},   {4, 0, 2},
                                                   {3}, {4},       {1, 0, 4, 3, 2}};
    std::vector<int64_t> computed(5, 6);
    for (const std::vector<int>& batch : batches) {
      WrittenStep plan = {.epoch = kEpoch};
      for (const int i : batch) {
        WrittenSequence chunk = sequences[static_cast<size_t>(i)].Chunk(computed[i], computed[i] + 1);
        chunk.sampling.temperature = 0.3f * static_cast<float>(i);
        chunk.sampling.seed = 9;
        if (i == 2) chunk.sampling.logit_bias = {{5, 4.0f}};
        if (i == 3) chunk.sampling.top_logprobs = 2;
        plan.sequences.push_back(chunk);
        ++computed[i];
      }
      // A sequence that has ended, among the others.
      if (batch.size() == 3) {
        plan.sequences.insert(plan.sequences.begin() + 1, {.sequence = 9, .token_ids = {0}, .padding = true});
      }
      expect_same(plan);
    }
    if (!counts.counted) continue;
    EXPECT_EQ(counts.recorded, 2);  // the batches of 1 and of 4; the batch of 8 ran only once
    EXPECT_EQ(counts.replayed, 4);
  }
}

// Greedy decoding gives the same text on one rank and on two.
// Steps with drafts run from recordings too: a draft is one more row. The card's tokens are the CPU's without
// drafts.
TEST(CardEngineTest, DraftsFromRecordingsChangeNoToken) {
  EngineOptions options = TinyOptions(WriteTinyCheckpoint({.layers = 2, .mtp_layers = 1}), DType::kBF16);
  const auto cpu = MakeRack(options, Generic);
  const std::vector<DraftedSequence> expected = DraftRun(*cpu, options, DraftedSequences({})).Run({});
  options.decode_graphs = true;
  options.speculative_tokens = 2;
  GraphCounts counts;
  const auto card = MakeRack(options, [&] { return MakeCard(&counts); });
  DraftRun run(*card, options, DraftedSequences({}));
  const std::vector<DraftedSequence> drawn = run.Run(expected);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(expected[i].drawn.size(), kDraftedSizes[i]);
    EXPECT_EQ(drawn[i].drawn, expected[i].drawn) << "sequence " << i + 1;
  }
  EXPECT_GT(run.accepted(), 8);
  if (counts.counted) {
    EXPECT_GT(counts.replayed, 8);
  }
}

TEST(CardEngineTest, TheDemoModelWritesTheSame) {
  std::vector<std::vector<TokenId>> texts;
  for (const model::Layout& layout : {model::Layout{}, model::Layout{.tp = 2, .ep = 2}}) {
    EngineOptions options = TinyOptions(DemoModel(), DType::kBF16, layout);
    options.max_step_tokens = 64;
    options.max_context = 128;
    for (const Rack::MakeDevice& make : {Rack::MakeDevice(Card), Rack::MakeDevice(Generic)}) {
      const auto rack = MakeRack(options, make);
      Sequence s = {.id = 1, .tokens = RandomTokens(40, 3), .blocks = {1, 0}, .prompt_size = 40};
      std::vector<TokenId> text;
      int64_t computed = 0;
      while (text.size() < 10) {
        const int64_t end = static_cast<int64_t>(s.tokens.size());
        const auto results = rack->Execute({.epoch = kEpoch, .sequences = {s.Chunk(computed, end)}});
        ASSERT_TRUE(results.ok()) << results.status();
        computed = end;
        text.push_back((*results)[0].token);
        s.tokens.push_back(text.back());
      }
      texts.push_back(std::move(text));
    }
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(texts[2], texts[3]);
  EXPECT_EQ(texts[0], texts[2]);
}

}  // namespace
}  // namespace deeprack::worker::testing
