#include "cli/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "cli/terminal/terminal.h"
#include "sizing/step_buffers.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::cli {
namespace {

model::ModelConfig SmallConfig() {
  model::ModelConfig config;
  config.vocab_size = 96;
  config.hidden_size = 48;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.max_position_embeddings = 256;
  config.kv_lora_rank = 16;
  config.qk_nope_head_dim = 8;
  config.qk_rope_head_dim = 4;
  config.v_head_dim = 8;
  config.intermediate_size = 96;
  config.moe_intermediate_size = 24;
  config.first_k_dense_replace = 1;
  config.n_routed_experts = 8;
  config.n_shared_experts = 1;
  config.num_experts_per_tok = 2;
  return config;
}

absl::StatusOr<ClusterPlan> PlanOf(const model::ModelConfig& config, const Settings& options,
                                   int64_t device_memory = 0) {
  const PlannedDevice device = PlannedDeviceOf(options.backend, false);
  return PlanCluster(config, sizing::WeightFormsOf(config, device.kernels), device, options, device_memory);
}

absl::StatusOr<std::string> TableOf(const model::ModelConfig& config, const Settings& options,
                                    int64_t device_memory = 0) {
  const auto plan = PlanOf(config, options, device_memory);
  if (!plan.ok()) return plan.status();
  return PlanTable(*plan, PlannedDeviceOf(options.backend, false));
}

TEST(Plan, HasALineForEachKindOfRank) {
  Settings options;
  options.pp = 2;
  options.kv_bytes = 1 << 20;
  const auto table = TableOf(SmallConfig(), options);
  ASSERT_TRUE(table.ok()) << table.status();
  const std::vector<std::string> lines = absl::StrSplit(*table, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 5u) << *table;
  EXPECT_EQ(lines[0],
            "tp=1 dp=1 ep=1 pp=2, bf16 compute, bf16 KV cache, 2 ranks on the CPU, steps of 2048 tokens, 256 "
            "sequences, context 256");
  // Two layers of 64 tokens x 20 values x 2 bytes: 5,120 bytes a page, 204 pages in a MiB.
  EXPECT_THAT(lines[2], testing::HasSubstr("5.0 KiB"));
  EXPECT_THAT(lines[2], testing::HasSubstr("13056"));
  EXPECT_EQ(lines[3][0], '1');
  options.pp = 1;
  EXPECT_THAT(TableOf(SmallConfig(), options).value(),
              testing::HasSubstr(" KV cache, 1 rank on the CPU, steps"));
}

TEST(Plan, CountsTheCacheInItsType) {
  Settings options;
  options.kv_bytes = 1 << 20;
  options.kv_cache_dtype = "fp8";
  const auto table = TableOf(SmallConfig(), options);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(*table, testing::HasSubstr("bf16 compute, fp8 KV cache"));
  // Three layers of 64 tokens x (16 + 4 x 2 + 4) bytes: 5,376 bytes a page, 195 pages in a MiB.
  EXPECT_THAT(*table, testing::HasSubstr("5.2 KiB"));
  EXPECT_THAT(*table, testing::HasSubstr(" 12480\n"));
  model::ModelConfig grouped = SmallConfig();
  grouped.kv_lora_rank = 0;
  const absl::Status refused = TableOf(grouped, options).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
}

// The worker uses the same functions for its memory. A smaller step needs less memory.
TEST(Plan, CountsTheWorkspaceOfTheStep) {
  Settings options;
  options.max_step_tokens = 100;
  options.max_sequences = 7;
  options.max_context = 64;
  const model::ModelConfig config = SmallConfig();
  const int64_t bytes = sizing::WorkspaceBytes(
      {.config = config, .limits = {.max_step_tokens = 100, .max_sequences = 7, .max_context = 64}}, {});
  const auto table = TableOf(config, options);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(*table, testing::HasSubstr(" " + FormatBytes(static_cast<double>(bytes)) + " "));
  const auto larger = TableOf(config, Settings{});
  ASSERT_TRUE(larger.ok());
  EXPECT_THAT(*larger, testing::Not(testing::HasSubstr(" " + FormatBytes(static_cast<double>(bytes)) + " ")));
}

// The limit is exact to a byte.
TEST(Plan, FitsOrSaysHowMuchIsMissing) {
  Settings options;
  options.backend = "cuda";
  options.tp = 2;
  const model::ModelConfig config = SmallConfig();
  const sizing::RankFootprint takes = PlanOf(config, options)->ranks[0];
  EXPECT_GT(takes.scratch(), 0);
  options.kv_bytes = 3 * takes.page;
  const int64_t all = takes.fixed() + 3 * takes.page;
  EXPECT_TRUE(CheckFits(*PlanOf(config, options, all)).ok());
  const absl::Status refused = CheckFits(*PlanOf(config, options, all - 1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), testing::HasSubstr("; 1 bytes (1 B) are missing"));
  options.kv_bytes = takes.page - 1;
  EXPECT_THAT(CheckFits(*PlanOf(config, options, all)).message(), testing::HasSubstr("less than one page"));
}

// Without --kv-bytes the cache gets what a worker gives it: nine tenths of the memory, less the memory that
// is taken, in whole pages.
TEST(Plan, TheRestOfTheDeviceIsCache) {
  Settings options;
  options.dp = 2;
  options.max_sequences = 1 << 16;
  const model::ModelConfig config = SmallConfig();
  const sizing::RankFootprint takes = PlanOf(config, options)->ranks[1];
  const int64_t memory = (takes.fixed() + 7 * takes.page) / 9 * 10 + 10;
  const auto plan = PlanOf(config, options, memory);
  EXPECT_EQ(plan->Pages(), 7);
  EXPECT_TRUE(CheckFits(*plan).ok());
  // The tokens of both dp groups.
  EXPECT_THAT(TableOf(config, options, memory).value(), testing::EndsWith(" 896\n"));
  EXPECT_EQ(PlanOf(config, options, memory - takes.page)->Pages(), 6);
  EXPECT_EQ(CheckFits(*PlanOf(config, options, takes.fixed())).code(), absl::StatusCode::kFailedPrecondition);
}

// R1 in fp8 on eight cards fits cards of 141 GB and does not fit cards of 80 GB.
TEST(Plan, SaysWhatWouldFit) {
  Settings options;
  options.backend = "cuda";
  options.tp = 8;
  const model::ModelConfig config = model::R1();
  const PlannedDevice device = PlannedDeviceOf(options.backend, false);
  const sizing::WeightForms forms = sizing::WeightFormsOf(config, device.kernels);
  const auto what = [&](int64_t gib) { return WhatWouldFit(config, forms, device, options, gib << 30); };
  const auto small = PlanOf(config, options, int64_t{79} << 30);
  EXPECT_THAT(CheckFits(*small).message(), testing::HasSubstr("rank 0 does not fit a device of 79.0 GiB"));
  EXPECT_EQ(what(79), "Any of these would fit: --tp 16 (16 ranks), --pp 2 (16 ranks), --dp 2 (16 ranks)");
  EXPECT_THAT(what(20), testing::HasSubstr("deeprack quantize"));
  const auto large = PlanOf(config, options, int64_t{139} << 30);
  EXPECT_TRUE(CheckFits(*large).ok());
  EXPECT_GT(large->Pages() * kPageTokens, config.max_position_embeddings);
  // If the memory is almost enough, a shorter step is the advice.
  const int64_t fixed = large->ranks[0].fixed();
  EXPECT_THAT(what(fixed / 9 * 10 >> 30), testing::HasSubstr("--max-step-tokens 512"));
}

TEST(Plan, CountsTheMtpLayer) {
  Settings options;
  options.pp = 2;
  options.kv_bytes = 1 << 20;
  model::ModelConfig config = SmallConfig();
  options.speculative_tokens = "2";
  EXPECT_THAT(TableOf(config, options).value(),
              testing::HasSubstr("\nwithout speculation: the model has no MTP layer\nranks"));
  EXPECT_EQ(PlanOf(config, options)->ranks[1].page, PlanOf(config, Settings{})->ranks[0].page / 3);
  config.num_nextn_predict_layers = 1;
  EXPECT_THAT(TableOf(config, options).value(),
              testing::HasSubstr("\nwith the MTP layer: up to 2 drafts for a sequence in a step\nranks"));
  const auto with = PlanOf(config, options);
  options.speculative_tokens = "0";
  const auto without = PlanOf(config, options);
  EXPECT_THAT(TableOf(config, options).value(), testing::Not(testing::HasSubstr("speculation")));
  // The first stage has two layers and the last stage one, and the MTP layer.
  EXPECT_EQ(with->ranks[0].page, without->ranks[0].page);
  EXPECT_EQ(with->ranks[0].weights, without->ranks[0].weights);
  EXPECT_EQ(with->ranks[0].workspace, without->ranks[0].workspace);
  EXPECT_EQ(with->ranks[1].page, 2 * without->ranks[1].page);
  // At least the embedding and the layer's experts, in bf16.
  EXPECT_GT(with->ranks[1].weights - without->ranks[1].weights, 96 * 48 * 2 + 8 * 3 * 24 * 48 * 2);
  EXPECT_GT(with->ranks[1].step.draft_inputs, 0);
  EXPECT_EQ(without->ranks[1].step.draft_inputs, 0);
}

TEST(Plan, RefusesALayoutThatDoesNotFit) {
  Settings options;
  options.tp = 3;
  EXPECT_EQ(TableOf(SmallConfig(), options).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace deeprack::cli
