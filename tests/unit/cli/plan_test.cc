#include "cli/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "model/budget/budget.h"

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
  EXPECT_EQ(lines[0], "tp=1 dp=1 ep=1 pp=2, bf16 compute, 2 ranks");
  // Two layers of 64 tokens x 20 values x 2 bytes: 5,120 bytes a page, 204 pages in a MiB.
  EXPECT_THAT(lines[2], testing::HasSubstr("5.0 KiB"));
  EXPECT_THAT(lines[2], testing::HasSubstr("13056"));
  EXPECT_EQ(lines[3][0], '1');
}

TEST(Plan, RefusesALayoutThatDoesNotFit) {
  ServeOptions options;
  options.tp = 3;
  EXPECT_EQ(PlanTable(SmallConfig(), options).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace deeprack::cli
