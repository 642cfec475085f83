#include "model/shard/shard.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

// The number of ranks of a valid layout that must hold each element of a tensor, from the tensor's role.
int CopiesOf(const ModelConfig& config, const TensorSpec& tensor, const Layout& layout) {
  switch (tensor.role) {
    case ShardRole::kReplicated:
      return layout.stage_size();
    case ShardRole::kExpertRows:
    case ShardRole::kExpertCols:
      return 1;
    default:
      break;
  }
  const bool twice = tensor.kind == TensorKind::kEmbedTokens && config.tie_word_embeddings && layout.pp > 1;
  return layout.dp * (twice ? 2 : 1);
}

// Counts for each element the ranks that hold it.
void ExpectCovered(const ModelConfig& config, const TensorSpec& tensor, const Layout& layout) {
  const int64_t rows = tensor.shape[0];
  const int64_t cols = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
  std::vector<int> holders(static_cast<size_t>(rows * cols));
  for (Rank rank = 0; rank < layout.world_size(); ++rank) {
    const std::optional<Slice> slice = SliceFor(config, tensor, layout, rank);
    if (!slice) continue;
    ASSERT_GT(slice->rows, 0);
    ASSERT_GT(slice->cols, 0);
    ASSERT_GE(slice->row_begin, 0);
    ASSERT_GE(slice->col_begin, 0);
    ASSERT_LE(slice->row_begin + slice->rows, rows);
    ASSERT_LE(slice->col_begin + slice->cols, cols);
    for (int64_t r = slice->row_begin; r < slice->row_begin + slice->rows; ++r) {
      for (int64_t c = slice->col_begin; c < slice->col_begin + slice->cols; ++c) ++holders[r * cols + c];
    }
  }
  const int expected = CopiesOf(config, tensor, layout);
  for (int held : holders) {
    ASSERT_EQ(held, expected) << tensor.name << " with " << ToString(layout);
  }
}

std::vector<Layout> SmallLayouts(const ModelConfig& config) {
  std::vector<Layout> layouts;
  for (int32_t tp : {1, 2, 4, 8}) {
    for (int32_t dp : {1, 3}) {
      for (int32_t ep = 1; ep <= tp * dp; ++ep) {
        for (int32_t pp : {1, 2}) {
          const Layout layout = {.tp = tp, .dp = dp, .ep = ep, .pp = pp};
          if (ValidateLayout(config, layout).ok()) layouts.push_back(layout);
        }
      }
    }
  }
  return layouts;
}

// One tensor of each kind and layer, and of the experts only two.
std::vector<TensorSpec> SomeTensors(const ModelConfig& config) {
  std::vector<TensorSpec> tensors;
  for (const TensorSpec& tensor : TensorsOf(config)) {
    if (tensor.expert <= 0 || tensor.expert == config.n_routed_experts - 1) tensors.push_back(tensor);
  }
  return tensors;
}

TEST(ShardTest, EveryElementIsHeldByTheRanksOfItsRole) {
  const ModelConfig config = Small();
  const std::vector<Layout> layouts = SmallLayouts(config);
  EXPECT_GT(layouts.size(), 30u);
  for (const Layout& layout : layouts) {
    for (const TensorSpec& tensor : SomeTensors(config)) {
      ASSERT_NO_FATAL_FAILURE(ExpectCovered(config, tensor, layout));
    }
  }
}

TEST(ShardTest, TiedEmbeddingsAreOnTheFirstAndTheLastStage) {
  auto json = SmallJson();
  json["tie_word_embeddings"] = true;
  const ModelConfig config = MustParse(json);
  for (const Layout& layout : {Layout{.pp = 3}, Layout{.tp = 2, .ep = 2, .pp = 2}, Layout{.dp = 2}}) {
    for (const TensorSpec& tensor : TopTensors(config)) {
      ASSERT_NO_FATAL_FAILURE(ExpectCovered(config, tensor, layout));
    }
  }
}

TensorSpec Find(const ModelConfig& config, const std::string& name) {
  for (const TensorSpec& tensor : TensorsOf(config)) {
    if (tensor.name == name) return tensor;
  }
  ADD_FAILURE() << name;
  return {};
}

TEST(ShardTest, SlicesMayCutThroughBlocks) {
  const ModelConfig config = Small();
  const Layout layout = {.tp = 4, .ep = 4};
  const auto slice = [&](const std::string& name, Rank rank) {
    return *SliceFor(config, Find(config, name), layout, rank);
  };
  EXPECT_EQ(slice("model.layers.0.mlp.down_proj.weight", 1),
            (Slice{.row_begin = 0, .rows = 200, .col_begin = 86, .cols = 86}));
  EXPECT_EQ(slice("model.layers.0.mlp.up_proj.weight", 3),
            (Slice{.row_begin = 258, .rows = 86, .col_begin = 0, .cols = 200}));
  // Heads 4 and 5, whole.
  EXPECT_EQ(slice("model.layers.0.self_attn.q_b_proj.weight", 2),
            (Slice{.row_begin = 4 * 64, .rows = 2 * 64, .col_begin = 0, .cols = 72}));
  EXPECT_EQ(slice("model.layers.0.self_attn.kv_b_proj.weight", 2),
            (Slice{.row_begin = 4 * 80, .rows = 2 * 80, .col_begin = 0, .cols = 136}));
  EXPECT_EQ(slice("model.layers.0.self_attn.o_proj.weight", 2),
            (Slice{.row_begin = 0, .rows = 200, .col_begin = 4 * 40, .cols = 2 * 40}));
}

TEST(ShardTest, VocabularyNeedNotDivide) {
  const ModelConfig config = Small();
  const Layout layout = {.tp = 4, .ep = 4};
  EXPECT_EQ(VocabRowsPerRank(config, layout), 76);  // 301 = 3 x 76 + 73
  const TensorSpec head = Find(config, "lm_head.weight");
  EXPECT_EQ(*SliceFor(config, head, layout, 0),
            (Slice{.row_begin = 0, .rows = 76, .col_begin = 0, .cols = 200}));
  EXPECT_EQ(*SliceFor(config, head, layout, 3),
            (Slice{.row_begin = 228, .rows = 73, .col_begin = 0, .cols = 200}));
}

TEST(ShardTest, ExpertsAreOnTheirGroupOnly) {
  const ModelConfig config = Small();
  const Layout layout = {.tp = 4, .dp = 2, .ep = 2};  // 2 groups of 4 ranks, 6 experts each, 38 rows a rank
  EXPECT_EQ(ExpertsOfGroup(config, layout, 1), (std::pair<int64_t, int64_t>{6, 12}));
  const TensorSpec up = Find(config, "model.layers.1.mlp.experts.7.up_proj.weight");
  EXPECT_FALSE(SliceFor(config, up, layout, 3).has_value());
  EXPECT_EQ(*SliceFor(config, up, layout, 5),
            (Slice{.row_begin = 38, .rows = 38, .col_begin = 0, .cols = 200}));
  const TensorSpec down = Find(config, "model.layers.1.mlp.experts.7.down_proj.weight");
  EXPECT_EQ(*SliceFor(config, down, layout, 7),
            (Slice{.row_begin = 0, .rows = 200, .col_begin = 114, .cols = 38}));
}

TEST(ShardTest, StagesHoldWhatTheyCompute) {
  const ModelConfig config = Small();
  const Layout layout = {.pp = 2};
  const auto holds = [&](const std::string& name, Rank rank) {
    return SliceFor(config, Find(config, name), layout, rank).has_value();
  };
  EXPECT_TRUE(holds("model.embed_tokens.weight", 0));
  EXPECT_FALSE(holds("model.embed_tokens.weight", 1));
  EXPECT_FALSE(holds("lm_head.weight", 0));
  EXPECT_TRUE(holds("lm_head.weight", 1));
  EXPECT_FALSE(holds("model.norm.weight", 0));
  EXPECT_TRUE(holds("model.layers.1.input_layernorm.weight", 0));
  EXPECT_FALSE(holds("model.layers.1.input_layernorm.weight", 1));
  EXPECT_TRUE(holds("model.layers.2.input_layernorm.weight", 1));
  EXPECT_FALSE(holds("model.layers.3.eh_proj.weight", 0));
  EXPECT_TRUE(holds("model.layers.3.eh_proj.weight", 1));
}

}  // namespace
}  // namespace deeprack::model
