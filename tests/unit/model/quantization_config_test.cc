// quantization_config of integer weights in groups of 128: as quantisation tools write it, and values that
// are refused.
#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/config/model_config.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::model {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json Awq() {
  return json::parse(R"({"bits": 4, "group_size": 128, "modules_to_not_convert": null, "quant_method": "awq",
    "version": "gemm", "zero_point": true})");
}

json Gptq() {
  return json::parse(R"({"bits": 4, "checkpoint_format": "gptq", "damp_percent": 0.01, "desc_act": false,
    "group_size": 128, "lm_head": false, "meta": {"quantizer": ["gptqmodel:1.8.1"]}, "pack_dtype": "int32",
    "quant_method": "gptq", "static_groups": false, "sym": true, "true_sequential": true})");
}

// As llm-compressor writes it, W4A16.
json PackQuantized() {
  return json::parse(R"({"config_groups": {"group_0": {"input_activations": null, "output_activations": null,
    "targets": ["Linear"], "weights": {"actorder": "weight", "block_structure": null, "dynamic": false,
    "group_size": 128, "num_bits": 4, "observer": "minmax", "observer_kwargs": {}, "strategy": "group",
    "symmetric": true, "type": "int"}}}, "format": "pack-quantized", "global_compression_ratio": 1.89,
    "ignore": ["lm_head"], "kv_cache_scheme": null, "quant_method": "compressed-tensors",
    "quantization_status": "compressed", "sparsity_config": {}, "transform_config": {}, "version": "0.9.4"})");
}

// W8A8.
json IntQuantized() {
  json file = PackQuantized();
  file["format"] = "int-quantized";
  json& group = file["config_groups"]["group_0"];
  group["weights"].update(
      {{"actorder", nullptr}, {"group_size", nullptr}, {"num_bits", 8}, {"strategy", "channel"}});
  group["input_activations"] = {
      {"dynamic", true}, {"num_bits", 8}, {"strategy", "token"}, {"symmetric", true}, {"type", "int"}};
  return file;
}

absl::StatusOr<ModelConfig> Parse(const json& quantization) {
  json file = R1Json();
  file["quantization_config"] = quantization;
  return ParseModelConfig(file.dump());
}

GroupQuantization MustRead(const json& quantization) {
  const auto config = Parse(quantization);
  EXPECT_TRUE(config.ok()) << config.status();
  if (!config.ok() || !config->group_quantization) return {};
  EXPECT_FALSE(config->quantization_config.has_value());
  return *config->group_quantization;
}

constexpr char kExpert[] = "model.layers.3.mlp.experts.17.down_proj";
constexpr char kAttention[] = "model.layers.3.self_attn.kv_b_proj";
constexpr char kDense[] = "model.layers.0.mlp.gate_proj";

TEST(QuantizationConfigTest, ReadsAwq) {
  json file = Awq();
  const GroupQuantization awq = MustRead(file);
  EXPECT_EQ(awq.layout, GroupLayout::kAwq);
  EXPECT_EQ(awq.type(), DType::kInt4G128);
  EXPECT_FALSE(awq.symmetric);
  EXPECT_FALSE(awq.act_order);
  EXPECT_FALSE(awq.zero_minus_one);
  EXPECT_TRUE(awq.Quantizes(kExpert));
  EXPECT_TRUE(awq.Quantizes(kAttention));

  file["modules_to_not_convert"] = {"self_attn", "lm_head"};
  EXPECT_TRUE(MustRead(file).Quantizes(kExpert));
  EXPECT_FALSE(MustRead(file).Quantizes(kAttention));
}

TEST(QuantizationConfigTest, ReadsGptq) {
  json file = Gptq();
  EXPECT_EQ(MustRead(file).layout, GroupLayout::kGptq);
  EXPECT_TRUE(MustRead(file).zero_minus_one);
  EXPECT_FALSE(MustRead(file).act_order);
  EXPECT_TRUE(MustRead(file).Quantizes(kExpert));

  file["checkpoint_format"] = "gptq_v2";
  file["desc_act"] = true;
  EXPECT_FALSE(MustRead(file).zero_minus_one);
  EXPECT_TRUE(MustRead(file).act_order);

  file.erase("checkpoint_format");
  file.erase("desc_act");  // then the file's g_idx decides
  EXPECT_TRUE(MustRead(file).zero_minus_one);
  EXPECT_TRUE(MustRead(file).act_order);
}

TEST(QuantizationConfigTest, GptqNamesWhatItQuantises) {
  json file = Gptq();
  file["modules_in_block_to_quantize"] = json::array({json::array({"mlp.gate_proj", "mlp.up_proj"})});
  EXPECT_TRUE(MustRead(file).Quantizes(kDense));
  EXPECT_FALSE(MustRead(file).Quantizes(kAttention));
  EXPECT_FALSE(MustRead(file).Quantizes("model.layers.3.mlp.shared_xmlp.gate_proj"));

  file = Gptq();
  file["dynamic"] = {{"-:model\\.layers\\.3\\.mlp\\.experts\\.1.*", json::object()}};
  EXPECT_FALSE(MustRead(file).Quantizes(kExpert));
  EXPECT_TRUE(MustRead(file).Quantizes("model.layers.3.mlp.experts.27.down_proj"));
}

TEST(QuantizationConfigTest, ReadsCompressedTensors) {
  json file = PackQuantized();
  const GroupQuantization int4 = MustRead(file);
  EXPECT_EQ(int4.layout, GroupLayout::kPackQuantized);
  EXPECT_EQ(int4.type(), DType::kInt4G128);
  EXPECT_TRUE(int4.symmetric);
  EXPECT_FALSE(int4.act_order);
  EXPECT_FALSE(int4.Quantizes("lm_head"));

  json& weights = file["config_groups"]["group_0"]["weights"];
  weights["symmetric"] = false;
  weights["actorder"] = "group";
  EXPECT_FALSE(MustRead(file).symmetric);
  EXPECT_TRUE(MustRead(file).act_order);
  for (const json& order : {json(true), json("dynamic")}) {
    weights["actorder"] = order;
    EXPECT_TRUE(MustRead(file).act_order);
  }
  for (const json& order : {json(false), json("static"), json()}) {
    weights["actorder"] = order;
    EXPECT_FALSE(MustRead(file).act_order);
  }

  const GroupQuantization int8 = MustRead(IntQuantized());
  EXPECT_EQ(int8.layout, GroupLayout::kIntQuantized);
  EXPECT_EQ(int8.type(), DType::kInt8G128);
}

// The expressions of a published R1 in which only the experts are quantised.
TEST(QuantizationConfigTest, IgnoreHoldsNamesAndExpressions) {
  json file = PackQuantized();
  file["ignore"] = {"lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                    "re:.*mlp\\.(gate|up|gate_up|down)_proj.*", "model.layers.5.mlp.experts.0.up_proj"};
  const GroupQuantization quantization = MustRead(file);
  EXPECT_TRUE(quantization.Quantizes(kExpert));
  EXPECT_FALSE(quantization.Quantizes(kAttention));
  EXPECT_FALSE(quantization.Quantizes(kDense));
  EXPECT_FALSE(quantization.Quantizes("model.layers.3.mlp.shared_experts.up_proj"));
  EXPECT_FALSE(quantization.Quantizes("model.layers.5.mlp.experts.0.up_proj"));
  EXPECT_TRUE(quantization.Quantizes("model.layers.5.mlp.experts.0.up_projector"));
  EXPECT_TRUE(quantization.Quantizes("model.layers.15.mlp.experts.0.up_proj"));

  file["ignore"] = {"lm_head", "re:self_attn"};  // anchored at the name's beginning
  EXPECT_TRUE(MustRead(file).Quantizes(kAttention));
}

// With tied embeddings the head is the embedding, so `ignore` need not name it.
TEST(QuantizationConfigTest, ATiedHeadIsNotIgnoredByName) {
  json file = R1Json();
  file["quantization_config"] = PackQuantized();
  file["quantization_config"]["ignore"] = json::array();
  EXPECT_FALSE(ParseModelConfig(file.dump()).ok());
  file["tie_word_embeddings"] = true;
  EXPECT_TRUE(MustParse(file).group_quantization.has_value());
}

// An expression that backtracks for ever does not match, and the search ends soon.
TEST(QuantizationConfigTest, AnExpressionCannotRunAway) {
  json file = PackQuantized();
  file["ignore"] = {"lm_head", "re:(([a-z0-9._]+)+)+!"};
  const GroupQuantization quantization = MustRead(file);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(quantization.Quantizes(kExpert));
}

struct Refusal {
  std::string name;
  json file;
  std::vector<std::string> message;  // parts of the message
};

Refusal Set(const std::string& name, json file, const std::string& pointer, json value,
            std::vector<std::string> message) {
  file[json::json_pointer(pointer)] = std::move(value);
  return {name, std::move(file), std::move(message)};
}

Refusal Erase(const std::string& name, json file, const std::string& key, std::vector<std::string> message) {
  file.erase(key);
  return {name, std::move(file), std::move(message)};
}

class QuantizationRefusalTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(QuantizationRefusalTest, NamesKeyValueAndWhatWouldDo) {
  const auto config = Parse(GetParam().file);
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_LT(config.status().message().size(), 600u);
  for (const std::string& part : GetParam().message) {
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(part));
  }
}

std::string NameOf(const ::testing::TestParamInfo<Refusal>& info) { return info.param.name; }

constexpr char kWeights[] = "/config_groups/group_0/weights";
std::string Weights(const char* key) { return std::string(kWeights) + "/" + key; }

INSTANTIATE_TEST_SUITE_P(
    Awq, QuantizationRefusalTest,
    ::testing::Values(Set("Method", Awq(), "/quant_method", "bitsandbytes",
                          {"quantization_config", "quant_method", "bitsandbytes", "compressed-tensors"}),
                      Erase("NoMethod", Awq(), "quant_method", {"quant_method is missing", "awq"}),
                      Set("Bits", Awq(), "/bits", 8, {"bits 8", "must be 4"}),
                      Erase("NoBits", Awq(), "bits", {"bits is missing", "4"}),
                      Set("BitsText", Awq(), "/bits", "4", {"bits \"4\""}),
                      Set("GroupSize", Awq(), "/group_size", 64, {"group_size 64", "128"}),
                      Erase("NoGroupSize", Awq(), "group_size", {"group_size is missing", "128"}),
                      Set("Version", Awq(), "/version", "gemv", {"version", "gemv", "gemm"}),
                      Set("ZeroPoint", Awq(), "/zero_point", false, {"zero_point false", "true"}),
                      Set("NotModules", Awq(), "/modules_to_not_convert", "lm_head",
                          {"modules_to_not_convert", "array of strings"}),
                      Set("NotStrings", Awq(), "/modules_to_not_convert", {"lm_head", 3},
                          {"modules_to_not_convert", "array of strings"}),
                      Set("EmptyName", Awq(), "/modules_to_not_convert", {""},
                          {"modules_to_not_convert", "array of strings"}),
                      Set("TooMany", Awq(), "/modules_to_not_convert", std::vector<std::string>(1001, "x"),
                          {"modules_to_not_convert", "more than 1000"})),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Gptq, QuantizationRefusalTest,
    ::testing::Values(
        Set("Bits", Gptq(), "/bits", 3, {"bits 3", "4"}),
        Set("GroupSize", Gptq(), "/group_size", -1, {"group_size -1", "128"}),
        Set("Format", Gptq(), "/checkpoint_format", "marlin", {"checkpoint_format", "marlin", "gptq_v2"}),
        Set("TwoFormats", Gptq(), "/format", "gptq_v2", {"checkpoint_format and format differ"}),
        Set("Marlin", Gptq(), "/is_marlin_format", true, {"is_marlin_format true", "false"}),
        Set("Head", Gptq(), "/lm_head", true, {"lm_head true", "false"}),
        Set("PackType", Gptq(), "/pack_dtype", "int16", {"pack_dtype", "int16", "int32"}),
        Set("Adapter", Gptq(), "/adapter", {{"name", "lora"}}, {"adapter", "merge"}),
        Set("Rotation", Gptq(), "/rotation", "hadamard", {"rotation", "hadamard"}),
        Set("ActOrder", Gptq(), "/desc_act", "yes", {"desc_act", "true or false"}),
        Set("Symmetry", Gptq(), "/sym", 1, {"sym", "true or false"}),
        Set("Dynamic", Gptq(), "/dynamic", {{"+:.*down_proj", {{"bits", 8}}}},
            {"dynamic", "down_proj", "-:"}),
        Set("DynamicNotObject", Gptq(), "/dynamic", 3, {"dynamic", "object"}),
        Set("DynamicBadExpression", Gptq(), "/dynamic", {{"-:(", json::object()}},
            {"dynamic", "(", "not a valid regular expression"}),
        Set("Modules", Gptq(), "/modules_in_block_to_quantize", {{{"a", 1}}},
            {"modules_in_block_to_quantize", "array of strings"})),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    CompressedTensors, QuantizationRefusalTest,
    ::testing::Values(
        Set("Format", PackQuantized(), "/format", "nvfp4-pack-quantized",
            {"format", "nvfp4", "pack-quantized or int-quantized"}),
        Erase("NoFormat", PackQuantized(), "format", {"format is missing"}),
        Set("Status", PackQuantized(), "/quantization_status", "frozen",
            {"quantization_status", "compressed"}),
        Set("Cache", PackQuantized(), "/kv_cache_scheme", {{"num_bits", 8}}, {"kv_cache_scheme"}),
        Set("Sparsity", PackQuantized(), "/sparsity_config", {{"format", "sparse-24-bitmask"}},
            {"sparsity_config"}),
        Set("Transform", PackQuantized(), "/transform_config", {{"config_groups", {{"u", 1}}}},
            {"transform_config"}),
        Erase("NoGroups", PackQuantized(), "config_groups", {"config_groups"}),
        Set("TwoGroups", PackQuantized(), "/config_groups/group_1", json::object(),
            {"config_groups", "one group"}),
        Set("Preset", PackQuantized(), "/config_groups", {{"W4A16", json::array({"Linear"})}},
            {"config_groups", "one group"}),
        Set("LongGroupName", PackQuantized(), "/config_groups", {{std::string(100000, 'g'), json::object()}},
            {"config_groups", "one group"}),
        Set("Targets", PackQuantized(), "/config_groups/group_0/targets", {"re:.*experts.*"},
            {"config_groups: group_0", "targets", "Linear", "ignore"}),
        Set("GroupFormat", PackQuantized(), "/config_groups/group_0/format", "int-quantized",
            {"group_0", "format", "pack-quantized"}),
        Set("Outputs", PackQuantized(), "/config_groups/group_0/output_activations", {{"num_bits", 8}},
            {"output_activations"}),
        Set("NoWeights", PackQuantized(), kWeights, nullptr, {"weights is missing"}),
        Set("WeightsNoObject", PackQuantized(), kWeights, 4, {"weights", "object"}),
        Set("Bits", PackQuantized(), Weights("num_bits"), 8, {"weights", "num_bits 8", "4"}),
        Set("GroupSize", PackQuantized(), Weights("group_size"), 32, {"group_size 32", "128"}),
        Set("Strategy", PackQuantized(), Weights("strategy"), "tensor", {"strategy", "tensor", "group"}),
        Set("Type", PackQuantized(), Weights("type"), "float", {"type", "float", "int"}),
        Set("Dynamic", PackQuantized(), Weights("dynamic"), true, {"dynamic true", "false"}),
        Set("Blocks", PackQuantized(), Weights("block_structure"), {128, 128}, {"block_structure"}),
        Set("ActOrder", PackQuantized(), Weights("actorder"), "sideways", {"actorder", "sideways", "group"}),
        Set("Head", PackQuantized(), "/ignore", json::array(), {"ignore", "lm_head"}),
        Set("BadExpression", PackQuantized(), "/ignore", {"re:["},
            {"ignore", "not a valid regular expression"}),
        Set("LongExpression", PackQuantized(), "/ignore", {"re:" + std::string(1001, 'a')},
            {"ignore", "1001"}),
        Set("Int8Strategy", IntQuantized(), Weights("strategy"), "group", {"strategy", "channel"}),
        Set("Int8NoStrategy", IntQuantized(), Weights("strategy"), nullptr, {"strategy is missing"}),
        Set("Int8Bits", IntQuantized(), Weights("num_bits"), 4, {"num_bits 4", "8"}),
        Set("Int8Zeros", IntQuantized(), Weights("symmetric"), false, {"symmetric false"}),
        Set("StaticActivations", IntQuantized(), "/config_groups/group_0/input_activations/dynamic", false,
            {"input_activations", "dynamic false", "true"})),
    NameOf);

}  // namespace
}  // namespace deeprack::model
