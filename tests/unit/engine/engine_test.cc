// Engine::Execute: memory, sampling, log-probabilities, errors.
#include "worker/engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "sizing/kv_pages.h"
#include "sizing/step_areas.h"
#include "sizing/step_buffers.h"
#include "tests/unit/engine/rack.h"
#include "tests/unit/engine/tiny_checkpoint.h"
#include "tests/unit/sizing/rank_tensors.h"
#include "worker/collectives/local/local_world.h"
#include "worker/decoder/workspace.h"

namespace deeprack::worker::testing {
namespace {

std::unique_ptr<Rack> MakeRack(const EngineOptions& options) {
  auto rack = Rack::Create(options);
  EXPECT_TRUE(rack.ok()) << rack.status();
  return *std::move(rack);
}

std::string Folder() {
  static const std::string folder = WriteTinyCheckpoint({});
  return folder;
}

TokenId Best(const Logits& logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double LogSoftmax(const Logits& logits, TokenId token) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  return static_cast<double>(logits[static_cast<size_t>(token)]) - std::log(sum);
}

TEST(EngineTest, MemoryIsTheBudgets) {
  const model::ModelConfig config = TinyModel{}.Config();
  for (const model::Layout& layout : {model::Layout{}, model::Layout{.tp = 2, .dp = 2, .ep = 2, .pp = 2}}) {
    for (const auto& [compute, kv_cache] :
         std::vector<std::pair<DType, std::optional<DType>>>{{DType::kBF16, {}},
                                                             {DType::kF32, {}},
                                                             {DType::kF32, DType::kBF16},
                                                             {DType::kBF16, DType::kF8E4M3}}) {
      EngineOptions options = TinyOptions(Folder(), compute, layout, model::ExpertExchange::kAllToAll);
      options.kv_cache = kv_cache;
      const auto rack = MakeRack(options);
      for (Rank rank = 0; rank < rack->size(); ++rank) {
        const EngineMemory& memory = rack->engine(rank).memory();
        const sizing::RankSpec spec = {.config = config,
                                       .layout = layout,
                                       .rank = rank,
                                       .compute = compute,
                                       .cache_type = options.kv_cache_type(),
                                       .expert_exchange = model::ExpertExchange::kAllToAll,
                                       .limits = {.max_step_tokens = options.max_step_tokens,
                                                  .max_sequences = options.max_sequences,
                                                  .max_context = config.max_position_embeddings}};
        EXPECT_EQ(memory.weight_bytes, sizing::WeightBytes(config, layout, rank, compute));
        EXPECT_EQ(memory.kv_bytes, memory.kv_blocks * sizing::KvPageBytes(spec));
        EXPECT_LE(memory.kv_bytes, options.kv_bytes);
        EXPECT_EQ(memory.kv_blocks, rack->engine(0).memory().kv_blocks);
        EXPECT_EQ(memory.workspace_bytes,
                  sizing::WorkspaceBytes(spec, {}) +
                      sizing::StepAreasOf(spec, {}).total());
      }
    }
  }
}

TEST(EngineTest, WithoutAWishTheCacheIsAsLargeAsCouldBeUsed) {
  EngineOptions options = TinyOptions(Folder());
  options.kv_bytes = 0;
  EXPECT_EQ(MakeRack(options)->engine(0).memory().kv_blocks, 8 * 512 / kPageTokens);
}

// With an fp8 cache, logits differ by the rounding of the entries, and they do differ. The model has no
// experts, because another choice of experts would change more.
TEST(EngineTest, AnFp8CacheHoldsAlmostTheSame) {
  const std::string folder = WriteTinyCheckpoint({.dense_layers = 4});
  for (const model::Layout& layout : {model::Layout{}, model::Layout{.tp = 2, .dp = 2, .ep = 4}}) {
    EngineOptions options = TinyOptions(folder, DType::kF32, layout);
    options.kv_bytes = 512 << 10;
    const auto wide = MakeRack(options);
    options.kv_cache = DType::kF8E4M3;
    const auto narrow = MakeRack(options);
    EXPECT_GT(narrow->engine(0).memory().kv_blocks, 2 * wide->engine(0).memory().kv_blocks);
    const Sequence a = {.id = 1, .tokens = RandomTokens(90, 1), .blocks = {5, 1}};
    const WrittenStep plan = {.epoch = 7, .sequences = {a.Chunk(0, 90)}};
    const Logits expected = wide->LogitsOf(plan)[0], actual = narrow->LogitsOf(plan)[0];
    double squares = 0, differences = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      squares += std::pow(static_cast<double>(expected[i]), 2);
      differences += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
    }
    EXPECT_LT(std::sqrt(differences / squares), 0.05);
    EXPECT_GT(differences, 0);
  }
}

TEST(EngineTest, AnFp8CacheNeedsLatentAttention) {
  EngineOptions options = TinyOptions(WriteTinyCheckpoint({.grouped_query = true}));
  options.kv_cache = DType::kF8E4M3;
  const auto rack = Rack::Create(options);
  EXPECT_EQ(rack.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(rack.status().message().find("a KV cache in fp8 needs latent attention, and a qwen2 model"),
            std::string::npos)
      << rack.status();
}

// Allows one token at each place.
class OneToken final : public constraint::Matcher {
 public:
  OneToken(TokenId token, int64_t vocab) : token_(token), words_(constraint::MaskWords(vocab)) {}
  absl::StatusOr<bool> Accept(TokenId token) override { return token == token_; }
  absl::Status Fill(std::span<uint32_t> mask) override {
    EXPECT_EQ(std::ssize(mask), words_);
    std::fill(mask.begin(), mask.end(), 0);
    mask[static_cast<size_t>(token_) / 32] = uint32_t{1} << (token_ % 32);
    return absl::OkStatus();
  }
  absl::Status Rollback(int32_t) override { return absl::OkStatus(); }
  bool complete() const override { return false; }
  bool ended() const override { return false; }

 private:
  const TokenId token_;
  const int64_t words_;
};

TEST(EngineTest, AMaskLeavesTheTokensThatMayCome) {
  const auto rack = MakeRack(TinyOptions(Folder(), DType::kBF16, {.tp = 2}));
  const int64_t vocab = rack->engine(0).config().vocab_size;
  const Sequence a = {.id = 1, .tokens = RandomTokens(20, 1), .blocks = {0}};
  const Sequence b = {.id = 2, .tokens = RandomTokens(30, 2), .blocks = {1}};
  WrittenStep plan = {.epoch = kEpoch, .sequences = {a.Chunk(0, 20), b.Chunk(0, 30)}};
  const TokenId free = Best(rack->LogitsOf(plan)[1]);
  for (const TokenId token : {TokenId{0}, TokenId{33}, static_cast<TokenId>(vocab - 1)}) {
    constraint::TokenState state({}, std::make_unique<OneToken>(token, vocab));
    plan.sequences[0].state = &state;
    for (const float temperature : {0.0f, 1.0f}) {
      plan.sequences[0].sampling.temperature = temperature;
      plan.sequences[0].sampling.top_logprobs = 0;
      const auto answers = rack->Execute(plan);
      ASSERT_TRUE(answers.ok()) << answers.status();
      EXPECT_EQ((*answers)[0].token, token);
      EXPECT_EQ((*answers)[1].token, free);
      // Log-probabilities are of the raw logits.
      const Logits logits = rack->LastLogits(plan)[0];
      EXPECT_NEAR(static_cast<double>((*answers)[0].logprobs.chosen.logprob), LogSoftmax(logits, token),
                  1e-3);
    }
  }
}

TEST(EngineTest, GreedyTakesTheLargestLogitAndScoresIt) {
  const auto rack = MakeRack(TinyOptions(Folder(), DType::kBF16, {.tp = 2, .dp = 2, .ep = 4}));
  const Sequence a = {.id = 1, .tokens = RandomTokens(20, 1), .blocks = {0}, .dp_rank = 1};
  const Sequence b = {.id = 2, .tokens = RandomTokens(30, 2), .blocks = {0}, .dp_rank = 0};
  WrittenStep plan = {.epoch = kEpoch, .step = 3, .sequences = {a.Chunk(0, 20), b.Chunk(0, 30)}};
  plan.sequences[0].sampling.top_logprobs = 3;
  const auto results = rack->Execute(plan);
  ASSERT_TRUE(results.ok()) << results.status();
  const std::vector<Logits> logits = rack->LogitsOf(plan);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ((*results)[i].sequence, plan.sequences[i].sequence);
    EXPECT_TRUE((*results)[i].sampled);
    EXPECT_EQ((*results)[i].token, Best(logits[i]));
  }
  const model::PositionLogprobs& scored = (*results)[0].logprobs;
  EXPECT_EQ(scored.chosen.token, (*results)[0].token);
  EXPECT_NEAR(scored.chosen.logprob, LogSoftmax(logits[0], scored.chosen.token), 1e-4);
  ASSERT_EQ(scored.top.size(), 3u);
  EXPECT_EQ(scored.top[0], scored.chosen);
  EXPECT_GE(scored.top[1].logprob, scored.top[2].logprob);
  EXPECT_TRUE((*results)[1].logprobs.top.empty());
}

TEST(EngineTest, BiasAndPenaltiesChangeTheDrawAndNotTheLogits) {
  const auto rack = MakeRack(TinyOptions(Folder()));
  const Sequence s = {.id = 1, .tokens = RandomTokens(20, 1), .blocks = {0}};
  const WrittenStep plain = {.epoch = kEpoch, .sequences = {s.Chunk(0, 20)}};
  const Logits raw = rack->LogitsOf(plain)[0];
  const TokenId best = Best(raw);

  WrittenStep biased = plain;
  biased.sequences[0].sampling.logit_bias = {{best, -100.0f}};
  biased.sequences[0].sampling.top_logprobs = 1;
  const auto results = rack->Execute(biased);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_NE((*results)[0].token, best);
  EXPECT_EQ((*results)[0].logprobs.top[0].token, best);  // log-probabilities are of the raw logits
  EXPECT_EQ(rack->LogitsOf(biased)[0], raw);

  WrittenStep penalised = plain;
  penalised.sequences[0].sampling.presence_penalty = 2.0f;
  penalised.sequences[0].sampling.frequency_penalty = 2.0f;
  penalised.sequences[0].token_counts = {{best, 0, 50}};
  EXPECT_NE((*rack->Execute(penalised))[0].token, best);
}

TEST(EngineTest, ADrawDependsOnSeedAndPositionOnly) {
  const auto rack = MakeRack(TinyOptions(Folder()));
  const Sequence s = {.id = 1, .tokens = RandomTokens(20, 1), .blocks = {0}};
  const Sequence other = {.id = 2, .tokens = RandomTokens(40, 2), .blocks = {1}};
  const auto draw = [&](uint64_t seed, bool company) {
    WrittenStep plan = {.epoch = kEpoch, .sequences = {s.Chunk(0, 20)}};
    plan.sequences[0].sampling.temperature = 5;
    plan.sequences[0].sampling.seed = seed;
    if (company) plan.sequences.insert(plan.sequences.begin(), other.Chunk(0, 40));
    return (*rack->Execute(plan)).back().token;
  };
  std::vector<TokenId> tokens;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    tokens.push_back(draw(seed, false));
    EXPECT_EQ(tokens.back(), draw(seed, true));
  }
  std::sort(tokens.begin(), tokens.end());
  EXPECT_GT(std::unique(tokens.begin(), tokens.end()) - tokens.begin(), 5);
}

// Each prompt token has the log-probability that the step which would have sampled it gives, in any chunking,
// also if the buffer of logits has fewer rows than the prompt.
TEST(EngineTest, PromptLogprobs) {
  EngineOptions options = TinyOptions(Folder(), DType::kF32, {.tp = 2, .dp = 1, .ep = 2});
  options.max_sequences = 3;
  const auto rack = MakeRack(options);
  const Sequence s = {.id = 1, .tokens = RandomTokens(25, 5), .blocks = {0}};
  std::vector<double> expected;
  for (int64_t end = 1; end < 25; ++end) {
    const Logits logits = rack->LogitsOf({.epoch = kEpoch, .sequences = {s.Chunk(end - 1, end)}})[0];
    expected.push_back(LogSoftmax(logits, s.tokens[static_cast<size_t>(end)]));
  }
  for (const int64_t chunk : {1, 4, 25}) {
    std::vector<model::PositionLogprobs> scored;
    for (int64_t begin = 0; begin < 25; begin += chunk) {
      const int64_t end = std::min<int64_t>(25, begin + chunk);
      WrittenSequence plan = s.Chunk(begin, end);
      plan.sample = end == 25;
      plan.prompt_logprobs = 2;
      plan.next_prompt_token = end < 25 ? s.tokens[static_cast<size_t>(end)] : -1;
      const auto results = rack->Execute({.epoch = kEpoch, .sequences = {plan}});
      ASSERT_TRUE(results.ok()) << results.status();
      EXPECT_EQ((*results)[0].sampled, end == 25);
      EXPECT_EQ(rack->logits(0).Of(0) != nullptr, end == 25);
      for (const auto& position : (*results)[0].prompt_logprobs) scored.push_back(position);
    }
    ASSERT_EQ(scored.size(), expected.size());
    for (size_t i = 0; i < scored.size(); ++i) {
      EXPECT_EQ(scored[i].chosen.token, s.tokens[i + 1]);
      EXPECT_NEAR(scored[i].chosen.logprob, expected[i], 1e-4) << i;
      EXPECT_EQ(scored[i].top.size(), 2u);
    }
  }
}

TEST(EngineTest, OnlyTheRankThatSamplesAnswers) {
  const auto rack = MakeRack(TinyOptions(Folder(), DType::kF32, {.tp = 2, .dp = 1, .ep = 2, .pp = 2}));
  const Sequence s = {.id = 1, .tokens = RandomTokens(9, 5), .blocks = {0}};
  rack->LogitsOf({.epoch = kEpoch, .sequences = {s.Chunk(0, 9)}});
  for (Rank rank = 0; rank < 4; ++rank) EXPECT_EQ(rack->logits(rank).Of(0) != nullptr, rank == 2);
  EXPECT_EQ(rack->logits(2).Of(1), nullptr);
  EXPECT_EQ(rack->logits(2).Of(-1), nullptr);
}

TEST(EngineTest, AStepOfAnotherEpochChangesNothing) {
  const auto rack = MakeRack(TinyOptions(Folder(), DType::kF32, {.tp = 2, .dp = 1, .ep = 2}));
  const Sequence s = {.id = 1, .tokens = RandomTokens(9, 5), .blocks = {0}};
  const WrittenStep good = {.epoch = kEpoch, .sequences = {s.Chunk(0, 9)}};
  const Logits before = rack->LogitsOf(good)[0];
  WrittenStep stale = good;
  stale.epoch = kEpoch - 1;
  EXPECT_EQ(rack->Execute(stale).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(rack->LogitsOf(good)[0], before);
}

// Padding comes before, between and after other sequences, with one row and with many, in steps of decodes
// and of prompts.
TEST(EngineTest, PaddingHasNoTokenAndChangesNoOther) {
  for (const auto& [layout, exchange] :
       {std::pair{model::Layout{}, model::ExpertExchange::kReplicated},
        {model::Layout{.tp = 2, .ep = 2, .pp = 2}, model::ExpertExchange::kReplicated},
        {model::Layout{.dp = 2, .ep = 2}, model::ExpertExchange::kReplicated},
        {model::Layout{.tp = 2, .dp = 2, .ep = 4}, model::ExpertExchange::kAllToAll}}) {
    for (const auto prefill : {model::PrefillAttention::kExpanded, model::PrefillAttention::kAbsorbed}) {
      EngineOptions options = TinyOptions(Folder(), DType::kBF16, layout, exchange);
      options.prefill_attention = prefill;
      const auto rack = MakeRack(options);
      const int32_t last = layout.dp - 1;
      const Sequence a = {.id = 1, .tokens = RandomTokens(70, 1), .blocks = {0, 1}, .prompt_size = 69};
      const Sequence b = {
          .id = 2, .tokens = RandomTokens(12, 2), .blocks = {2}, .dp_rank = last, .prompt_size = 11};
      const auto padding = [&](SequenceId id, size_t rows, int32_t dp_rank) {
        return WrittenSequence{
            .sequence = id, .dp_rank = dp_rank, .token_ids = std::vector<TokenId>(rows), .padding = true};
      };
      const auto step = [&](int64_t a_begin, int64_t b_begin, size_t rows) {
        const int64_t a_end = a_begin == 0 ? 69 : 70, b_end = b_begin == 0 ? 11 : 12;
        WrittenStep plan = {.epoch = kEpoch, .sequences = {a.Chunk(a_begin, a_end), b.Chunk(b_begin, b_end)}};
        const auto alone = rack->Execute(plan);
        const std::vector<Logits> expected = rack->LastLogits(plan);
        WrittenStep padded = {.epoch = kEpoch,
                              .sequences = {padding(7, rows, 0), plan.sequences[0], padding(8, 1, last),
                                            plan.sequences[1], padding(9, rows, last)}};
        const auto together = rack->Execute(padded);
        ASSERT_TRUE(alone.ok() && together.ok()) << alone.status() << together.status();
        EXPECT_EQ((*together)[1], (*alone)[0]);
        EXPECT_EQ((*together)[3], (*alone)[1]);
        EXPECT_EQ((*together)[0], (Answer{.sequence = 7}));
        EXPECT_EQ((*together)[2], (Answer{.sequence = 8}));
        EXPECT_EQ((*together)[4], (Answer{.sequence = 9}));
        EXPECT_EQ(rack->LogitsOf(plan), expected);
      };
      step(0, 0, 130);
      step(69, 0, 1);
      step(69, 11, 1);
      // A step in which all sequences have ended.
      const auto ended =
          rack->Execute({.epoch = kEpoch, .sequences = {padding(7, 3, 0), padding(9, 1, last)}});
      ASSERT_TRUE(ended.ok()) << ended.status();
      EXPECT_EQ(*ended, (std::vector<Answer>{{.sequence = 7}, {.sequence = 9}}));
    }
  }
}

TEST(EngineTest, AnEmptyPlanIsAStep) {
  const auto rack = MakeRack(TinyOptions(Folder(), DType::kF32, {.tp = 1, .dp = 2, .ep = 2}));
  EXPECT_TRUE(rack->Execute({.epoch = kEpoch}).ok());
}

TEST(EngineTest, ALostPeerEndsTheEpoch) {
  auto world = MakeLocalWorld(2, absl::Seconds(60));
  testing::LogitsRecorder logits[2];
  std::unique_ptr<Engine> engines[2];
  const auto create = [&](int rank) {
    EngineOptions options = TinyOptions(Folder(), DType::kF32, {.tp = 2, .dp = 1, .ep = 2});
    options.rank = rank;
    auto engine = Engine::Create(options, world[static_cast<size_t>(rank)].get(), {}, &logits[rank]);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engines[rank] = *std::move(engine);
  };
  std::thread peer(create, 1);
  create(0);
  peer.join();
  const Sequence s = {.id = 1, .tokens = RandomTokens(9, 5), .blocks = {0}};
  const WrittenStep plan = {.epoch = kEpoch, .step = 4, .sequences = {s.Chunk(0, 9)}};
  std::thread lost([&] { world[1]->Abort(); });  // instead of executing the step
  const GroupStep step = GroupStepOf(plan, 1, 0);
  const absl::Status first = engines[0]->Execute(step).status();
  lost.join();
  EXPECT_EQ(first.code(), absl::StatusCode::kAborted) << first;
  EXPECT_NE(first.message().find("epoch 7 ended in step 4 on rank 0"), std::string::npos) << first;
  EXPECT_EQ(engines[0]->Execute(step).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(logits[0].Of(0), nullptr);
}

TEST(EngineTest, TimingsAddUp) {
  auto engine = Engine::Create(TinyOptions(Folder()), nullptr, {});
  ASSERT_TRUE(engine.ok()) << engine.status();
  const Sequence s = {.id = 1, .tokens = RandomTokens(9, 5), .blocks = {0}};
  const WrittenStep plan = {.epoch = kEpoch, .step = 9, .sequences = {s.Chunk(0, 9)}};
  const auto executed = (*engine)->Execute(GroupStepOf(plan, 1, 0));
  ASSERT_TRUE(executed.ok()) << executed.status();
  EXPECT_EQ(executed->result.epoch, kEpoch);
  EXPECT_EQ(executed->result.step, 9u);
  EXPECT_GT(executed->result.timings.total_seconds, 0);
  EXPECT_EQ(executed->result.timings.collective_seconds, 0);  // a single rank has no collectives
}

}  // namespace
}  // namespace deeprack::worker::testing
