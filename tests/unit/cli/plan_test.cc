#include "cli/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "cli/terminal/terminal.h"
#include "model/budget/workspace.h"

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

TEST(Plan, HasALineForEachKindOfRank) {
  ServeOptions options;
  options.pp = 2;
  options.kv_bytes = 1 << 20;
  const auto table = PlanTable(SmallConfig(), options);
  ASSERT_TRUE(table.ok()) << table.status();
  const std::vector<std::string> lines = absl::StrSplit(*table, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 5u) << *table;
  EXPECT_EQ(lines[0],
            "tp=1 dp=1 ep=1 pp=2, bf16 compute, bf16 KV cache, 2 ranks, steps of 2048 tokens, 256 sequences, "
            "context 256");
  // Two layers of 64 tokens x 20 values x 2 bytes: 5,120 bytes a page, 204 pages in a MiB.
  EXPECT_THAT(lines[2], testing::HasSubstr("5.0 KiB"));
  EXPECT_THAT(lines[2], testing::HasSubstr("13056"));
  EXPECT_EQ(lines[3][0], '1');
  options.pp = 1;
  EXPECT_THAT(PlanTable(SmallConfig(), options).value(), testing::HasSubstr(" KV cache, 1 rank, steps"));
}

TEST(Plan, CountsTheCacheInItsType) {
  ServeOptions options;
  options.kv_bytes = 1 << 20;
  options.kv_cache_dtype = "fp8";
  const auto table = PlanTable(SmallConfig(), options);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(*table, testing::HasSubstr("bf16 compute, fp8 KV cache"));
  // Three layers of 64 tokens x (16 + 4 x 2 + 4) bytes: 5,376 bytes a page, 195 pages in a MiB.
  EXPECT_THAT(*table, testing::HasSubstr("5.2 KiB"));
  EXPECT_THAT(*table, testing::HasSubstr(" 12480\n"));
  model::ModelConfig grouped = SmallConfig();
  grouped.kv_lora_rank = 0;
  const absl::Status refused = PlanTable(grouped, options).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
}

// The worker sizes its memory by the same functions; a smaller step needs less of it.
TEST(Plan, CountsTheWorkspaceOfTheStep) {
  ServeOptions options;
  options.max_step_tokens = 100;
  options.max_sequences = 7;
  options.max_context = 64;
  const model::ModelConfig config = SmallConfig();
  const int64_t bytes = model::WorkspaceBytes(
      {.config = config, .limits = {.max_step_tokens = 100, .max_sequences = 7, .max_context = 64}});
  const auto table = PlanTable(config, options);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(*table, testing::HasSubstr(" " + FormatBytes(static_cast<double>(bytes)) + " "));
  const auto larger = PlanTable(config, ServeOptions{});
  ASSERT_TRUE(larger.ok());
  EXPECT_THAT(*larger, testing::Not(testing::HasSubstr(" " + FormatBytes(static_cast<double>(bytes)) + " ")));
}

TEST(Plan, RefusesALayoutThatDoesNotFit) {
  ServeOptions options;
  options.tp = 3;
  EXPECT_EQ(PlanTable(SmallConfig(), options).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace deeprack::cli
