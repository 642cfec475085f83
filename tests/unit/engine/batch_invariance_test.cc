// A sequence's logits are bitwise the same alone, in any batch, under any chunking, and on another sequence's
// pages.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>

#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"

namespace deeprack::worker::testing {
namespace {

constexpr auto kExpanded = model::PrefillAttention::kExpanded;
constexpr auto kAbsorbed = model::PrefillAttention::kAbsorbed;

struct Case {
  const char* name;
  DType compute;
  model::Layout layout;
  model::ExpertExchange exchange;
  model::PrefillAttention prefill = kExpanded;
  bool grouped_query = false;
  std::optional<DType> kv_cache = {};
};

class BatchInvarianceTest : public ::testing::TestWithParam<Case> {
 protected:
  static std::string Folder() {
    static const std::string latent = WriteTinyCheckpoint({});
    static const std::string grouped_query = WriteTinyCheckpoint({.grouped_query = true});
    return GetParam().grouped_query ? grouped_query : latent;
  }

  void SetUp() override {
    const Case& c = GetParam();
    EngineOptions options = TinyOptions(Folder(), c.compute, c.layout, c.exchange);
    options.kv_cache = c.kv_cache;
    options.prefill_attention = c.prefill;
    auto rack = Rack::Create(options);
    ASSERT_TRUE(rack.ok()) << rack.status();
    rack_ = *std::move(rack);
    // Pages in random order, and lengths that end at, before and after page borders. The last tokens of the
    // first sequence are generated, so computing it as a whole is a replay.
    sequences_ = {{.id = 1, .tokens = RandomTokens(150, 11), .blocks = {9, 4, 17}, .prompt_size = 140},
                  {.id = 2, .tokens = RandomTokens(64, 12), .blocks = {30}},
                  {.id = 3, .tokens = RandomTokens(1, 13), .blocks = {2}},
                  {.id = 4, .tokens = RandomTokens(97, 14), .blocks = {21, 3}}};
    for (size_t i = 0; i < sequences_.size(); ++i) {
      sequences_[i].dp_rank = static_cast<int32_t>(i) % c.layout.dp;
    }
  }

  // The logits at the end of every sequence; each sequence runs alone in one chunk.
  std::vector<Logits> Alone() {
    std::vector<Logits> logits;
    for (const Sequence& sequence : sequences_) {
      logits.push_back(rack_->LogitsOf({.epoch = kEpoch, .sequences = {Whole(sequence)}})[0]);
    }
    return logits;
  }

  static WrittenSequence Whole(const Sequence& sequence) {
    return sequence.Chunk(0, static_cast<int64_t>(sequence.tokens.size()));
  }

  static void ExpectSameBits(const Logits& expected, const Logits& actual, const std::string& what) {
    ASSERT_EQ(expected.size(), actual.size()) << what;
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(std::memcmp(expected.data(), actual.data(), expected.size() * sizeof(float)), 0) << what;
  }

  std::unique_ptr<Rack> rack_;
  std::vector<Sequence> sequences_;
};

TEST_P(BatchInvarianceTest, AloneAndTogether) {
  const std::vector<Logits> alone = Alone();
  WrittenStep plan = {.epoch = kEpoch};
  for (const Sequence& sequence : sequences_) plan.sequences.push_back(Whole(sequence));
  const std::vector<Logits> together = rack_->LogitsOf(plan);
  for (size_t i = 0; i < alone.size(); ++i)
    ExpectSameBits(alone[i], together[i], "sequence " + std::to_string(i));

  // The sequences in another order, on other pages and, with several dp groups, in another group.
  std::vector<Sequence> moved(sequences_.rbegin(), sequences_.rend());
  BlockId next_block = 40;
  WrittenStep moved_plan = {.epoch = kEpoch};
  for (Sequence& sequence : moved) {
    for (BlockId& block : sequence.blocks) block = next_block++;
    sequence.dp_rank = GetParam().layout.dp - 1 - sequence.dp_rank;
    moved_plan.sequences.push_back(Whole(sequence));
  }
  const std::vector<Logits> elsewhere = rack_->LogitsOf(moved_plan);
  for (size_t i = 0; i < alone.size(); ++i) {
    ExpectSameBits(alone[alone.size() - 1 - i], elsewhere[i], "moved sequence " + std::to_string(i));
  }
}

TEST_P(BatchInvarianceTest, AnyChunking) {
  const Sequence& sequence = sequences_[0];
  const int64_t length = static_cast<int64_t>(sequence.tokens.size());
  std::map<int64_t, Logits> at_end_of;  // by position: the logits of single-token steps
  for (int64_t end = 1; end <= length; ++end) {
    at_end_of[end] = rack_->LogitsOf({.epoch = kEpoch, .sequences = {sequence.Chunk(end - 1, end)}})[0];
  }
  for (const int64_t chunk : {int64_t{3}, int64_t{64}, length}) {
    for (int64_t begin = 0; begin < length; begin += chunk) {
      const int64_t end = std::min(begin + chunk, length);
      const Logits logits = rack_->LogitsOf({.epoch = kEpoch, .sequences = {sequence.Chunk(begin, end)}})[0];
      ExpectSameBits(at_end_of[end], logits,
                     "chunk of " + std::to_string(chunk) + " to " + std::to_string(end));
    }
  }
}

// Decodes of one sequence together with prefill chunks of others. In some steps some dp groups have no rows.
TEST_P(BatchInvarianceTest, DecodesAmongPrefills) {
  const std::vector<Logits> alone = Alone();
  const int64_t first = 140;
  rack_->LogitsOf({.epoch = kEpoch, .sequences = {sequences_[0].Chunk(0, first)}});
  Logits last;
  for (int64_t position = first; position < 150; ++position) {
    WrittenStep plan = {.epoch = kEpoch, .sequences = {sequences_[0].Chunk(position, position + 1)}};
    const int64_t step = position - first;
    if (step < 8) plan.sequences.push_back(sequences_[1].Chunk(step * 8, step * 8 + 8));
    if (step == 3) plan.sequences.insert(plan.sequences.begin(), Whole(sequences_[3]));
    const std::vector<Logits> logits = rack_->LogitsOf(plan);
    if (step == 7) ExpectSameBits(alone[1], logits[1], "the chunked sequence");
    if (step == 3) ExpectSameBits(alone[3], logits[0], "the sequence that came between");
    last = logits[step == 3 ? 1 : 0];
  }
  ExpectSameBits(alone[0], last, "the decoding sequence");
}

// A sequence with the same first tokens as another one, on that sequence's first pages.
TEST_P(BatchInvarianceTest, PrefixOfAnotherSequence) {
  Sequence cousin = {
      .id = 5, .tokens = sequences_[0].tokens, .blocks = {50, 51, 52}, .dp_rank = sequences_[0].dp_rank};
  cousin.prompt_size = 131;  // only the shared pages must be prompt in both sequences
  for (size_t i = 128; i < cousin.tokens.size(); ++i) cousin.tokens[i] = (cousin.tokens[i] + 1) % 131;
  const Logits alone = rack_->LogitsOf({.epoch = kEpoch, .sequences = {Whole(cousin)}})[0];

  rack_->LogitsOf({.epoch = kEpoch, .sequences = {Whole(sequences_[0])}});
  for (const int64_t shared_pages : {int64_t{1}, int64_t{2}}) {
    Sequence guest = cousin;
    guest.id = 6;
    guest.blocks = {60, 61, 62};
    std::copy_n(sequences_[0].blocks.begin(), shared_pages, guest.blocks.begin());
    WrittenStep plan = {.epoch = kEpoch, .sequences = {guest.Chunk(shared_pages * kPageTokens, 150)}};
    plan.sequences.push_back(Whole(sequences_[3]));
    ExpectSameBits(alone, rack_->LogitsOf(plan)[0], std::to_string(shared_pages) + " shared pages");
  }
}

// The end of the prompt decides the form of each later position, and nothing else does. The two forms agree
// up to rounding.
TEST_P(BatchInvarianceTest, OnlyThePromptsEndDecidesTheForm) {
  const Case& c = GetParam();
  Sequence all_prompt = sequences_[0], all_output = sequences_[0];
  all_prompt.prompt_size = 150;
  all_output.prompt_size = 1;
  const Logits prompt = rack_->LogitsOf({.epoch = kEpoch, .sequences = {Whole(all_prompt)}})[0];
  const Logits output = rack_->LogitsOf({.epoch = kEpoch, .sequences = {Whole(all_output)}})[0];
  const Logits both = rack_->LogitsOf({.epoch = kEpoch, .sequences = {Whole(sequences_[0])}})[0];
  if (c.grouped_query || c.prefill == kAbsorbed) {
    ExpectSameBits(prompt, output, "one form");
    return ExpectSameBits(prompt, both, "one form");
  }
  EXPECT_NE(prompt, output);
  EXPECT_NE(prompt, both);
  EXPECT_NE(output, both);
  // Another expert changes the logits a lot; so does a KV entry rounded to the other side of a tie.
  if (c.compute == DType::kBF16 || c.kv_cache.has_value()) return;
  for (size_t i = 0; i < prompt.size(); ++i) {
    EXPECT_NEAR(prompt[i], output[i], 1e-4);
    EXPECT_NEAR(prompt[i], both[i], 1e-4);
  }
}

constexpr auto kReplicated = model::ExpertExchange::kReplicated;
constexpr auto kAllToAll = model::ExpertExchange::kAllToAll;

INSTANTIATE_TEST_SUITE_P(
    Layouts, BatchInvarianceTest,
    ::testing::Values(
        Case{"bf16", DType::kBF16, {}, kReplicated}, Case{"f32", DType::kF32, {}, kReplicated},
        Case{"bf16_all_to_all", DType::kBF16, {}, kAllToAll},
        Case{"bf16_tp2", DType::kBF16, {.tp = 2, .ep = 2}, kReplicated},
        Case{"bf16_tp2_all_to_all", DType::kBF16, {.tp = 2, .ep = 2}, kAllToAll},
        Case{"f32_dp2", DType::kF32, {.dp = 2, .ep = 2}, kReplicated},
        Case{"f32_dp2_all_to_all", DType::kF32, {.dp = 2, .ep = 2}, kAllToAll},
        Case{"bf16_pp2", DType::kBF16, {.pp = 2}, kReplicated},
        Case{"bf16_tp2_dp2_ep2_pp2", DType::kBF16, {.tp = 2, .dp = 2, .ep = 2, .pp = 2}, kReplicated},
        Case{"bf16_tp2_dp2_ep4_all_to_all", DType::kBF16, {.tp = 2, .dp = 2, .ep = 4}, kAllToAll},
        Case{"absorbed_bf16", DType::kBF16, {}, kReplicated, kAbsorbed},
        Case{"absorbed_bf16_tp2_dp2_all_to_all",
             DType::kBF16,
             {.tp = 2, .dp = 2, .ep = 4},
             kAllToAll,
             kAbsorbed},
        Case{"absorbed_f32_pp2", DType::kF32, {.pp = 2}, kReplicated, kAbsorbed},
        Case{"fp8_cache", DType::kBF16, {}, kReplicated, kExpanded, false, DType::kF8E4M3},
        Case{"fp8_cache_absorbed", DType::kBF16, {}, kReplicated, kAbsorbed, false, DType::kF8E4M3},
        Case{"f32_fp8_cache_tp2_pp2",
             DType::kF32,
             {.tp = 2, .pp = 2},
             kReplicated,
             kExpanded,
             false,
             DType::kF8E4M3},
        Case{"fp8_cache_tp2_dp2_ep4_all_to_all",
             DType::kBF16,
             {.tp = 2, .dp = 2, .ep = 4},
             kAllToAll,
             kExpanded,
             false,
             DType::kF8E4M3},
        Case{"f32_bf16_cache", DType::kF32, {}, kReplicated, kExpanded, false, DType::kBF16},
        Case{"grouped_query_bf16", DType::kBF16, {}, kReplicated, kExpanded, true},
        Case{"grouped_query_f32_tp2_pp2", DType::kF32, {.tp = 2, .pp = 2}, kReplicated, kExpanded, true},
        Case{"grouped_query_bf16_tp4_dp2", DType::kBF16, {.tp = 4, .dp = 2}, kReplicated, kAbsorbed, true}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace deeprack::worker::testing
