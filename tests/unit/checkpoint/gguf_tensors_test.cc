// Finds a GGUF's tensors under their names in the registry.
#include "checkpoint/gguf_tensors.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/checkpoint_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/files/model_files.h"
#include "tests/unit/checkpoint/checkpoint_files.h"
#include "tests/unit/gguf/gguf_bytes.h"

namespace deeprack::checkpoint {
namespace {

using model::GgufBytes;
using model::Typed;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ8_0 = 8;

struct StoredTensor {
  std::vector<int64_t> dimensions;  // columns first, as in the file
  uint32_t type = kF32;
};
using Tensors = std::map<std::string, StoredTensor>;

std::string Int(uint32_t value) { return Typed(value); }

// Bytes in which all floats of a file are different.
std::string Numbered(size_t bytes, int first) {
  std::string data;
  for (size_t i = 0; i < bytes / 4; ++i) data += model::Raw(static_cast<float>(first + static_cast<int>(i)));
  data.resize(bytes);
  return data;
}

// deepseek2 with one layer of two experts: hidden 32, two heads of 16 + 16, latent 64, values 8. The MTP
// layers are like this layer.
GgufBytes Metadata(uint32_t mtp_layers) {
  GgufBytes file;
  const std::map<std::string, uint32_t> sizes = {{"block_count", 1 + mtp_layers},
                                                 {"nextn_predict_layers", mtp_layers},
                                                 {"context_length", 64},
                                                 {"embedding_length", 32},
                                                 {"feed_forward_length", 40},
                                                 {"attention.head_count", 2},
                                                 {"attention.head_count_kv", 1},
                                                 {"vocab_size", 48},
                                                 {"attention.kv_lora_rank", 64},
                                                 {"attention.key_length", 80},
                                                 {"attention.value_length", 64},
                                                 {"attention.key_length_mla", 32},
                                                 {"attention.value_length_mla", 8},
                                                 {"rope.dimension_count", 16},
                                                 {"expert_count", 2},
                                                 {"expert_used_count", 1},
                                                 {"expert_shared_count", 1},
                                                 {"expert_feed_forward_length", 4},
                                                 {"expert_gating_func", 2},
                                                 {"leading_dense_block_count", 0}};
  file.Key("general.architecture", Typed("deepseek2"));
  for (const auto& [key, value] : sizes) file.Key("deepseek2." + key, Int(value));
  file.Key("deepseek2.attention.layer_norm_rms_epsilon", Typed(1e-6f));
  return file;
}

Tensors Whole() {
  return {{"token_embd.weight", {{32, 48}, kQ8_0}},
          {"output_norm.weight", {{32}}},
          {"output.weight", {{32, 48}, kQ8_0}},
          {"blk.0.attn_norm.weight", {{32}}},
          {"blk.0.attn_q.weight", {{32, 64}, kQ8_0}},
          {"blk.0.attn_kv_a_mqa.weight", {{32, 80}}},
          {"blk.0.attn_kv_a_norm.weight", {{64}}},
          {"blk.0.attn_k_b.weight", {{16, 64, 2}}},
          {"blk.0.attn_v_b.weight", {{64, 8, 2}, kQ8_0}},
          {"blk.0.attn_output.weight", {{16, 32}}},
          {"blk.0.ffn_norm.weight", {{32}}},
          {"blk.0.ffn_gate_inp.weight", {{32, 2}}},
          {"blk.0.exp_probs_b.bias", {{2}}},
          {"blk.0.ffn_gate_exps.weight", {{32, 4, 2}}},
          {"blk.0.ffn_up_exps.weight", {{32, 4, 2}, kQ8_0}},
          {"blk.0.ffn_down_exps.weight", {{4, 32, 2}}},
          {"blk.0.ffn_gate_shexp.weight", {{32, 4}}},
          {"blk.0.ffn_up_shexp.weight", {{32, 4}}},
          {"blk.0.ffn_down_shexp.weight", {{4, 32}}}};
}

class GgufTensorsTest : public ::testing::Test {
 protected:
  std::string Write(const Tensors& tensors, uint32_t mtp_layers = 0) {
    GgufBytes file = Metadata(mtp_layers);
    for (const auto& [name, tensor] : tensors) {
      size_t elements = 1;
      for (const int64_t size : tensor.dimensions) elements *= static_cast<size_t>(size);
      const size_t bytes = tensor.type == kQ8_0 ? elements / 32 * 34 : elements * 4;
      const int first = static_cast<int>(file.data.size() / 4);
      file.Tensor(name, tensor.dimensions, tensor.type, Numbered(bytes, first));
    }
    const std::string path = folder_ / "model.gguf";
    file.Write(path);
    return path;
  }

  CheckpointReader Open(const Tensors& tensors, uint32_t mtp_layers = 0) {
    auto reader = CheckpointReader::Open(Write(tensors, mtp_layers));
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }

  std::string Refusal(const Tensors& tensors) {
    const auto reader = CheckpointReader::Open(Write(tensors));
    EXPECT_TRUE(absl::IsInvalidArgument(reader.status())) << reader.status();
    return std::string(reader.status().message());
  }

  absl::StatusOr<CheckpointSummary> Check(const CheckpointReader& reader) {
    return CheckCheckpoint(*model::LoadModelConfig(reader.folder()), reader);
  }

  TestFolder folder_;
};

float FirstValue(const TensorView& view) {
  float value = 0;
  std::memcpy(&value, view.bytes.data(), sizeof(value));
  return value;
}

TEST_F(GgufTensorsTest, AWholeModelIsThere) {
  const CheckpointReader reader = Open(Whole());
  const auto summary = Check(reader);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->ignored_tensors, 0);
  EXPECT_EQ(summary->tensors, 19 - 3 + 3 * 2);
  EXPECT_EQ(reader.tensor_count(), summary->tensors);
  EXPECT_EQ(reader.total_bytes(), summary->bytes);
  EXPECT_THAT(reader.Find("model.embed_tokens.weight")->shape, ElementsAre(48, 32));
  EXPECT_EQ(reader.Find("model.layers.0.mlp.experts.2.up_proj.weight"), nullptr);
  EXPECT_EQ(reader.FileOf("lm_head.weight"), folder_ / "model.gguf");
  EXPECT_EQ(reader.FileOf("absent"), "");
  reader.Prefetch("model.layers.0.mlp.experts.1.up_proj.weight");
  reader.Prefetch("absent");
}

TEST_F(GgufTensorsTest, ExpertsAreSlices) {
  const CheckpointReader reader = Open(Whole());
  const std::string prefix = "model.layers.0.mlp.experts.";
  const TensorView* first = reader.Find(prefix + "0.gate_proj.weight");
  const TensorView* second = reader.Find(prefix + "1.gate_proj.weight");
  ASSERT_TRUE(first != nullptr && second != nullptr);
  EXPECT_THAT(second->shape, ElementsAre(4, 32));
  EXPECT_EQ(second->bytes.size(), 4u * 32 * 4);
  EXPECT_EQ(FirstValue(*second), FirstValue(*first) + 4 * 32);
  EXPECT_EQ(reader.Find(prefix + "1.up_proj.weight")->bytes.size(), 4u * 34);
  EXPECT_THAT(reader.Find(prefix + "1.down_proj.weight")->shape, ElementsAre(32, 4));
}

TEST_F(GgufTensorsTest, HeadsAreRows) {
  const CheckpointReader reader = Open(Whole());
  EXPECT_THAT(reader.Find("model.layers.0.self_attn.k_b_proj.weight")->shape, ElementsAre(128, 16));
  EXPECT_THAT(reader.Find("model.layers.0.self_attn.v_b_proj.weight")->shape, ElementsAre(16, 64));
  Tensors flat = Whole();
  flat["blk.0.attn_k_b.weight"] = {{16, 128}};
  EXPECT_TRUE(Check(Open(flat)).ok());
}

TEST_F(GgufTensorsTest, KvBMayBeWholeOrBoth) {
  Tensors tensors = Whole();
  tensors["blk.0.attn_kv_b.weight"] = {{64, 48}};
  const CheckpointReader both = Open(tensors);
  const auto summary = Check(both);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->ignored_tensors, 2);
  EXPECT_EQ(both.Find("model.layers.0.self_attn.k_b_proj.weight"), nullptr);
  tensors.erase("blk.0.attn_k_b.weight");
  tensors.erase("blk.0.attn_v_b.weight");
  EXPECT_EQ(Check(Open(tensors))->ignored_tensors, 0);
}

TEST_F(GgufTensorsTest, GateAndUpMayBeOneTensor) {
  Tensors tensors = Whole();
  tensors.erase("blk.0.ffn_gate_exps.weight");
  tensors.erase("blk.0.ffn_up_exps.weight");
  tensors["blk.0.ffn_gate_up_exps.weight"] = {{32, 8, 2}};
  const CheckpointReader reader = Open(tensors);
  ASSERT_TRUE(Check(reader).ok()) << Check(reader).status();
  const auto first = [&](const char* name) {
    return FirstValue(*reader.Find("model.layers.0.mlp.experts." + std::string(name) + "_proj.weight"));
  };
  EXPECT_EQ(first("0.up") - first("0.gate"), 4 * 32);
  EXPECT_EQ(first("1.gate") - first("0.gate"), 8 * 32);
  EXPECT_EQ(first("1.up") - first("0.gate"), 12 * 32);

  tensors["blk.0.ffn_gate_up_exps.weight"] = {{32, 4, 2}};
  EXPECT_THAT(Refusal(tensors),
              AllOf(HasSubstr("ffn_gate_up_exps"), HasSubstr("[2, 4, 32], expected [2, 8, 32]")));
}

TEST_F(GgufTensorsTest, TypesOfBlocksAreTold) {
  const model::TensorTypes types = Open(Whole()).BlockTypes();
  EXPECT_EQ(types.Of("lm_head.weight"), DType::kQ8_0);
  EXPECT_EQ(types.Of("model.layers.0.mlp.experts.1.up_proj.weight"), DType::kQ8_0);
  EXPECT_EQ(types.Of("model.layers.0.mlp.experts.1.gate_proj.weight"), std::nullopt);
}

TEST_F(GgufTensorsTest, AMissingTensorIsNamed) {
  Tensors tensors = Whole();
  tensors.erase("blk.0.exp_probs_b.bias");
  const auto summary = Check(Open(tensors));
  EXPECT_TRUE(absl::IsNotFound(summary.status())) << summary.status();
  EXPECT_THAT(std::string(summary.status().message()), HasSubstr("mlp.gate.e_score_correction_bias"));
}

TEST_F(GgufTensorsTest, WrongShapesAreNamed) {
  Tensors tensors = Whole();
  tensors["blk.0.attn_q.weight"] = {{32, 63}};
  EXPECT_THAT(std::string(Check(Open(tensors)).status().message()),
              HasSubstr("q_proj.weight has shape [63, 32], expected [64, 32]"));
  tensors = Whole();
  tensors["blk.0.attn_q.weight"] = {{64, 32}};
  EXPECT_THAT(std::string(Check(Open(tensors)).status().message()), HasSubstr("has shape [32, 64]"));
  for (const std::vector<int64_t>& wrong : {std::vector<int64_t>{32, 4, 3}, {32, 4}, {32, 8}, {4, 32, 2}}) {
    tensors = Whole();
    tensors["blk.0.ffn_gate_exps.weight"] = {wrong};
    EXPECT_THAT(Refusal(tensors), AllOf(HasSubstr("blk.0.ffn_gate_exps.weight"), HasSubstr("[2, 4, 32]")));
  }
}

TEST_F(GgufTensorsTest, VectorsAreNoBlocks) {
  Tensors tensors = Whole();
  tensors["output_norm.weight"] = {{32}, kQ8_0};
  EXPECT_THAT(std::string(Check(Open(tensors)).status().message()),
              HasSubstr("model.norm.weight is Q8_0, expected BF16, F16 or F32"));
}

TEST_F(GgufTensorsTest, TensorsThatWouldChangeTheNumbersAreRefused) {
  for (const char* name : {"blk.0.attn_q.bias", "output.bias", "blk.0.ffn_gate.scale",
                           "rope_factors_long.weight", "blk..attn_q.weight", "blk.x.attn_q.weight"}) {
    Tensors tensors = Whole();
    tensors[name] = {{64}};
    EXPECT_THAT(Refusal(tensors), AllOf(HasSubstr(name), HasSubstr("not known here")));
  }
}

Tensors WithMtpLayer() {
  Tensors tensors = Whole();
  for (const auto& [name, tensor] : Whole()) {
    if (name.starts_with("blk.0.")) tensors["blk.1." + name.substr(6)] = tensor;
  }
  tensors["blk.1.nextn.eh_proj.weight"] = {{64, 32}, kQ8_0};
  for (const char* norm : {"enorm", "hnorm", "shared_head_norm"}) {
    tensors[absl::StrCat("blk.1.nextn.", norm, ".weight")] = {{32}};
  }
  return tensors;
}

TEST_F(GgufTensorsTest, AnMtpLayerHasNextnTensors) {
  Tensors tensors = WithMtpLayer();
  const CheckpointReader reader = Open(tensors, 1);
  const auto summary = Check(reader);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->mtp_layers, 1);
  EXPECT_EQ(summary->ignored_tensors, 0);
  EXPECT_EQ(WhyNoMtp(*model::LoadModelConfig(reader.folder()), reader), "");
  const TensorView projection = *reader.Get("model.layers.1.eh_proj.weight");
  EXPECT_THAT(projection.shape, ElementsAre(32, 64));
  EXPECT_EQ(projection.dtype, DType::kQ8_0);
  EXPECT_NE(reader.Find("model.layers.1.shared_head.norm.weight"), nullptr);

  tensors["blk.1.nextn.embed_tokens.weight"] = {{32, 48}, kQ8_0};
  tensors["blk.1.nextn.shared_head_head.weight"] = {{32, 48}, kQ8_0};
  const CheckpointReader with_copies = Open(tensors, 1);
  EXPECT_EQ(Check(with_copies)->ignored_tensors, 0);

  tensors.erase("blk.1.nextn.hnorm.weight");
  EXPECT_EQ(Check(Open(tensors, 1)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Check(Open(Whole(), 1))->mtp_layers, 0);
}

TEST_F(GgufTensorsTest, AnMtpLayerOfATypeThatIsNotReadCountsAsAbsent) {
  constexpr uint32_t kIq4Xs = 23;
  const int64_t without = Check(Open(Whole(), 1))->tensors;
  Tensors tensors = WithMtpLayer();
  tensors["blk.1.ffn_up_exps.weight"].type = kIq4Xs;
  const CheckpointReader reader = Open(tensors, 1);
  const auto summary = Check(reader);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->mtp_layers, 0);
  EXPECT_EQ(summary->tensors, without);
  EXPECT_EQ(summary->ignored_tensors, reader.tensor_count() - without);
  EXPECT_EQ(reader.Find("model.layers.1.mlp.experts.0.up_proj.weight"), nullptr);
  EXPECT_EQ(reader.UnreadType("model.layers.1.mlp.experts.0.up_proj.weight"), "IQ4_XS");
  EXPECT_EQ(reader.FileOf("model.layers.1.mlp.experts.0.up_proj.weight"), reader.folder());
  EXPECT_THAT(WhyNoMtp(*model::LoadModelConfig(reader.folder()), reader),
              HasSubstr("model.layers.1.mlp.experts.0.up_proj.weight is IQ4_XS, expected BF16"));

  tensors = Whole();
  tensors["blk.0.ffn_up_exps.weight"].type = kIq4Xs;
  EXPECT_THAT(Refusal(tensors), AllOf(HasSubstr("\"blk.0.ffn_up_exps.weight\""),
                                      HasSubstr("IQ4_XS is not supported; these are: F32"), HasSubstr("Q8_0"),
                                      HasSubstr("Q6_K")));
}

TEST_F(GgufTensorsTest, UndeclaredMtpLayersArePassedOver) {
  Tensors tensors = Whole();
  tensors["blk.1.nextn.eh_proj.weight"] = {{64, 32}};
  tensors["blk.1.attn_norm.weight"] = {{32}};
  const auto summary = Check(Open(tensors));
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->ignored_tensors, 2);
}

}  // namespace
}  // namespace deeprack::checkpoint
