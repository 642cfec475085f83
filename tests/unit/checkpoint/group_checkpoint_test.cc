// Checks whole checkpoints of integers in groups against the config, part by part, and their block types.
#include <string>

#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/group_quantized/block_types.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/tensors/group_types.h"
#include "tests/unit/checkpoint/group_files.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kProjection[] = "model.layers.0.self_attn.kv_a_proj_with_mqa";
constexpr char kExpert[] = "model.layers.1.mlp.experts.3.down_proj";

nlohmann::json ModelJson(const nlohmann::json& quantization) {
  nlohmann::json json = model::SmallJson();
  json["quantization_config"] = quantization;
  return json;
}

model::ModelConfig Awq(const nlohmann::json& skipped = nullptr) {
  return model::MustParse(ModelJson(
      {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 128}, {"modules_to_not_convert", skipped}}));
}

model::ModelConfig Gptq(bool act_order) {
  return model::MustParse(
      ModelJson({{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}, {"desc_act", act_order}}));
}

model::ModelConfig Int8() {
  nlohmann::json group = {{"targets", {"Linear"}},
                          {"weights", {{"num_bits", 8}, {"strategy", "channel"}, {"type", "int"}}}};
  return model::MustParse(ModelJson({{"quant_method", "compressed-tensors"},
                                     {"format", "int-quantized"},
                                     {"config_groups", {{"group_0", group}}},
                                     {"ignore", {"lm_head", "re:.*self_attn"}}}));
}

// The tensors of a checkpoint with this config.
TestTensors GroupTensorsOfModel(const model::ModelConfig& config) {
  model::ModelConfig plain = config;
  plain.quantization_config.reset();
  TestTensors tensors = TensorsOfModel(plain);
  for (const model::TensorSpec& spec : model::TensorsOf(config)) {
    if (!model::IsStoredInGroups(config, spec)) continue;
    tensors.erase(spec.name);
    const std::string module = spec.name.substr(0, spec.name.size() - 6);
    const int64_t rows = spec.shape[0], cols = spec.shape[1], groups = CeilDiv(cols, int64_t{128});
    switch (config.group_quantization->layout) {
      case model::GroupLayout::kAwq:
        tensors[module + "qweight"] = {.dtype = DType::kI32, .shape = {cols, rows / 8}};
        tensors[module + "qzeros"] = {.dtype = DType::kI32, .shape = {groups, rows / 8}};
        tensors[module + "scales"] = {.dtype = DType::kF16, .shape = {groups, rows}};
        break;
      case model::GroupLayout::kGptq:
        tensors[module + "qweight"] = {.dtype = DType::kI32, .shape = {cols / 8, rows}};
        tensors[module + "qzeros"] = {.dtype = DType::kI32, .shape = {groups, rows / 8}};
        tensors[module + "scales"] = {.dtype = DType::kF16, .shape = {groups, rows}};
        tensors[module + "g_idx"] = {.dtype = DType::kI32, .shape = {cols}};
        break;
      default:
        tensors[module + "weight"] = {.dtype = DType::kI8, .shape = spec.shape};
        tensors[module + "weight_scale"] = {.dtype = DType::kBF16, .shape = {rows, 1}};
    }
  }
  return tensors;
}

absl::StatusOr<CheckpointSummary> Check(const model::ModelConfig& config, const TestTensors& tensors) {
  const TestFolder folder;
  WriteTensors(folder, tensors);
  const auto reader = CheckpointReader::Open(folder.path());
  EXPECT_TRUE(reader.ok()) << reader.status();
  return CheckCheckpoint(config, *reader);
}

std::string Fault(const model::ModelConfig& config, const TestTensors& tensors, absl::StatusCode code) {
  const auto summary = Check(config, tensors);
  EXPECT_EQ(summary.status().code(), code) << summary.status();
  return std::string(summary.status().message());
}

TEST(GroupCheckpointTest, AcceptsTheWholeModel) {
  for (const model::ModelConfig& config : {Awq(), Gptq(false), Gptq(true), Int8()}) {
    TestTensors tensors = GroupTensorsOfModel(config);
    int64_t parameters = 0;
    for (const model::TensorSpec& spec : model::TensorsOf(config)) {
      parameters += spec.shape[0] * (spec.shape.size() > 1 ? spec.shape[1] : 1);
    }
    tensors["model.layers.0.self_attn.o_proj.bias"] = {.shape = {200}};  // AutoGPTQ writes zeros
    const auto summary = Check(config, tensors);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->tensors, static_cast<int64_t>(tensors.size()) - 1);
    EXPECT_EQ(summary->ignored_tensors, 1);
    EXPECT_EQ(summary->parameters, parameters);
    EXPECT_EQ(summary->mtp_layers, 1);
  }
}

TEST(GroupCheckpointTest, NamesAMissingPart) {
  for (const char* part : {".qweight", ".qzeros", ".scales"}) {
    TestTensors tensors = GroupTensorsOfModel(Awq());
    tensors.erase(std::string(kExpert) + part);
    EXPECT_THAT(Fault(Awq(), tensors, absl::StatusCode::kNotFound),
                AllOf(HasSubstr(std::string(kExpert) + part), HasSubstr("missing")));
  }
  TestTensors tensors = GroupTensorsOfModel(Gptq(true));
  tensors.erase(std::string(kExpert) + ".g_idx");
  EXPECT_THAT(Fault(Gptq(true), tensors, absl::StatusCode::kNotFound), HasSubstr("down_proj.g_idx"));
  tensors[std::string(kExpert) + ".g_idx"] = {.dtype = DType::kI32, .shape = {151}};
  EXPECT_THAT(Fault(Gptq(true), tensors, absl::StatusCode::kInvalidArgument), HasSubstr("[151]"));
}

// A module must be stored as the config says.
TEST(GroupCheckpointTest, HoldsTheFilesAgainstTheModulesLeftOut) {
  const model::ModelConfig skipping = Awq({"self_attn"});
  EXPECT_TRUE(Check(skipping, GroupTensorsOfModel(skipping)).ok());
  EXPECT_THAT(Fault(Awq(), GroupTensorsOfModel(skipping), absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("self_attn"), HasSubstr(".weight is stored as BF16"), HasSubstr("qweight")));
  EXPECT_THAT(Fault(skipping, GroupTensorsOfModel(Awq()), absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("self_attn"), HasSubstr("qweight"), HasSubstr("is not quantised")));
  TestTensors tensors = GroupTensorsOfModel(Int8());
  tensors[std::string(kProjection) + ".weight"].dtype = DType::kI8;
  EXPECT_THAT(Fault(Int8(), tensors, absl::StatusCode::kInvalidArgument), HasSubstr("is I8, expected BF16"));
}

TEST(GroupCheckpointTest, AnMtpLayerMayBeAbsentButNotInPart) {
  for (const model::ModelConfig& config : {Awq(), Int8()}) {
    TestTensors tensors = GroupTensorsOfModel(config);
    std::erase_if(tensors, [](const auto& entry) { return entry.first.starts_with("model.layers.3."); });
    const auto summary = Check(config, tensors);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->mtp_layers, 0);
  }
  TestTensors tensors = GroupTensorsOfModel(Awq());
  tensors.erase("model.layers.3.mlp.experts.0.up_proj.qweight");
  EXPECT_THAT(Fault(Awq(), tensors, absl::StatusCode::kNotFound),
              AllOf(HasSubstr("model.layers.3.mlp.experts.0.up_proj"), HasSubstr("MTP")));
}

// As in quantised checkpoints whose maker left the MTP layer as it was, without saying so in the config.
TEST(GroupCheckpointTest, AnUnquantisedMtpLayerThatTheConfigDoesNotNameCountsAsAbsent) {
  for (const model::ModelConfig& config : {Awq(), Int8()}) {
    TestTensors tensors = GroupTensorsOfModel(config);
    const std::string module = "model.layers.3.mlp.experts.0.up_proj.";
    std::erase_if(tensors, [&](const auto& entry) { return entry.first.starts_with(module); });
    tensors[module + "weight"] = {.shape = {1, 1}};
    const auto summary = Check(config, tensors);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->mtp_layers, 0);
  }
}

model::TensorTypes TypesOf(const model::ModelConfig& config, const TestTensors& tensors) {
  const TestFolder folder;
  WriteTensors(folder, tensors);
  const auto reader = CheckpointReader::Open(folder.path());
  EXPECT_TRUE(reader.ok()) << reader.status();
  const auto types = BlockTypesOf(config, *reader);
  EXPECT_TRUE(types.ok()) << types.status();
  return types.ok() ? *types : model::TensorTypes();
}

TEST(GroupCheckpointTest, BlockTypesFollowTheConfig) {
  const std::string expert = std::string(kExpert) + ".weight";
  const std::string projection = std::string(kProjection) + ".weight";
  const model::TensorTypes awq = TypesOf(Awq({"self_attn"}), GroupTensorsOfModel(Awq({"self_attn"})));
  EXPECT_EQ(awq.Of(expert), DType::kInt4G128);
  EXPECT_EQ(awq.Of(projection), std::nullopt);
  EXPECT_EQ(awq.Of("lm_head.weight"), std::nullopt);
  EXPECT_EQ(model::GroupTypes(Awq({"self_attn"})).Of(expert), DType::kInt4G128);
  EXPECT_EQ(TypesOf(Int8(), GroupTensorsOfModel(Int8())).Of(expert), DType::kInt8G128);
  EXPECT_TRUE(model::GroupTypes(Gptq(true)).empty());  // only the files tell
}

// The columns of one of two GPTQ weights are out of order: that weight has no block type.
TEST(GroupCheckpointTest, BlockTypesFollowTheOrderOfColumns) {
  const model::ModelConfig config = Gptq(true);
  const TestFolder folder;
  const TestTensors tensors = GroupTensorsOfModel(config);
  SafetensorsWriter writer;
  std::vector<TensorBytes> data;
  data.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    TensorBytes& bytes = data.emplace_back(Zeroed(tensor.dtype, tensor.shape));
    if (name.ends_with(".g_idx")) {
      for (int64_t col = 0; col < tensor.shape[0]; ++col) bytes.Put(col, static_cast<int32_t>(col / 128));
      if (name == std::string(kExpert) + ".g_idx") bytes.Put(0, int32_t{1});
    }
    writer.Add(name, tensor.dtype, tensor.shape, AsBytes(bytes.bytes));
  }
  ASSERT_TRUE(writer.Write(folder / "model.safetensors").ok());
  const auto reader = CheckpointReader::Open(folder.path());
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto types = BlockTypesOf(config, *reader);
  ASSERT_TRUE(types.ok()) << types.status();
  EXPECT_EQ(types->Of(std::string(kExpert) + ".weight"), std::nullopt);
  EXPECT_EQ(types->Of(std::string(kProjection) + ".weight"), DType::kInt4G128);
}

}  // namespace
}  // namespace deeprack::checkpoint
