// The R1 distills: config.json as published, tensors and layouts.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/config/kv_cache_type.h"
#include "model/config/model_config.h"
#include "model/shard/shard.h"
#include "nlohmann/json.hpp"
#include "tests/unit/model/distill_configs.h"

namespace deeprack::model {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

ModelConfig Parsed(const json& file) {
  const auto config = ParseModelConfig(file.dump());
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig{};
}

int64_t Parameters(const ModelConfig& config) {
  int64_t sum = 0;
  for (const TensorSpec& tensor : TensorsOf(config)) {
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    sum += elements;
  }
  return sum;
}

// The parameter counts on the models' pages: 7.62B and 8.03B.
TEST(GroupedQueryTest, PublishedConfigsHaveAsManyParametersAsPublished) {
  EXPECT_EQ(Parameters(Parsed(Qwen7B())), 7'615'616'512);
  EXPECT_EQ(Parameters(Parsed(Llama8B())), 8'030'261'248);
  const ModelConfig llama = Parsed(Llama8B());
  ASSERT_TRUE(llama.llama3_rope_scaling.has_value());
  EXPECT_FALSE(llama.rope_scaling.has_value());
  EXPECT_EQ(llama.llama3_rope_scaling->original_max_position_embeddings, 8192);
  EXPECT_EQ(llama.qk_head_dim(), 128);
  EXPECT_FALSE(llama.attention_bias);
  EXPECT_TRUE(Parsed(Qwen7B()).attention_bias);
  EXPECT_FALSE(llama.has_latent_attention());
}

TEST(GroupedQueryTest, RefusesWhatItDoesNotCompute) {
  struct Refusal {
    json file;
    const char* pointer;
    json value;
    const char* message;
  };
  for (const Refusal& refusal : std::vector<Refusal>{
           {Qwen7B(), "/use_sliding_window", true, "use_sliding_window"},
           {Qwen7B(), "/use_mrope", true, "use_mrope"},
           {Qwen7B(), "/layer_types", {"full_attention", "sliding_attention"}, "layer_types"},
           {Qwen7B(), "/num_key_value_heads", 5, "not a multiple of num_key_value_heads 5"},
           {Qwen7B(), "/num_key_value_heads", nullptr, "num_key_value_heads is missing"},
           {Qwen7B(), "/num_key_value_heads", 0, "num_key_value_heads"},
           {Qwen7B(), "/head_dim", 7, "head_dim must be even"},
           {Qwen7B(), "/hidden_size", 3585, "not a multiple of num_attention_heads"},
           {Llama8B(), "/attention_bias", true, "attention_bias"},
           {Llama8B(), "/mlp_bias", true, "mlp_bias"},
           {Llama8B(), "/hidden_act", "gelu", "hidden_act"},
           {Llama8B(), "/rope_scaling/rope_type", "dynamic", "llama3"},
           {Llama8B(), "/rope_scaling/factor", 0.5, "factor"},
           {Llama8B(), "/rope_scaling/high_freq_factor", 1.0, "high_freq_factor"},
           {Llama8B(), "/rope_scaling/original_max_position_embeddings", nullptr, "missing"}}) {
    json file = refusal.file;
    file[json::json_pointer(refusal.pointer)] = refusal.value;
    const auto config = ParseModelConfig(file.dump());
    ASSERT_FALSE(config.ok()) << refusal.pointer;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(refusal.message));
  }
}

TEST(GroupedQueryTest, KeyValueHeadsAreDividedOrShared) {
  const ModelConfig config = Parsed(Llama8B());  // 32 heads, 8 key-value heads
  const auto heads = [&](int32_t tp, int32_t rank) { return KeyValueHeadsOfRank(config, {.tp = tp}, rank); };
  EXPECT_EQ(heads(2, 1), std::pair(int64_t{4}, int64_t{8}));
  EXPECT_EQ(heads(8, 5), std::pair(int64_t{5}, int64_t{6}));
  EXPECT_EQ(heads(16, 5), std::pair(int64_t{2}, int64_t{3}));
  // Each query head of a rank has its key-value head on that rank.
  for (const int32_t tp : {1, 2, 4, 8, 16, 32}) {
    ASSERT_TRUE(ValidateLayout(config, {.tp = tp}).ok()) << tp;
    for (int32_t rank = 0; rank < tp; ++rank) {
      const auto [begin, end] = heads(tp, rank);
      for (int64_t head = 32 / tp * rank; head < 32 / tp * (rank + 1); ++head) {
        const int64_t group = 32 / tp / (end - begin);
        EXPECT_EQ(begin + (head - 32 / tp * rank) / group, head / 4) << tp << " " << head;
      }
    }
  }
}

TEST(GroupedQueryTest, LayoutsThatDoNotFitAreRefusedWithThoseThatDo) {
  json file = Qwen7B();
  file["num_attention_heads"] = 24;
  file["num_key_value_heads"] = 6;
  file["head_dim"] = 128;
  file["intermediate_size"] = 18432;
  const ModelConfig config = Parsed(file);
  const absl::Status status = ValidateLayout(config, {.tp = 4});
  EXPECT_THAT(std::string(status.message()), HasSubstr("6 key-value heads cannot be split over tp=4"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("tp may be 1, 2, 3, 6, 12 or 24"));
}

TEST(GroupedQueryTest, ACacheInFp8IsRefused) {
  const ModelConfig config = Parsed(Qwen7B());
  EXPECT_TRUE(CheckKvCacheType(config, DType::kBF16).ok());
  EXPECT_EQ(CheckKvCacheType(config, DType::kF8E4M3).message(),
            "a KV cache in fp8 needs latent attention, and a qwen2 model has grouped-query attention: use "
            "a KV cache of type auto or bf16");
}

}  // namespace
}  // namespace deeprack::model
