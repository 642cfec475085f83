// Dummy checkpoints of every kind pass the check that files must pass, and have values in a model's range.
#include "checkpoint/dummy_tensors.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/group_quantized/block_types.h"
#include "checkpoint/group_quantized/group_quantized.h"
#include "gtest/gtest.h"
#include "model/tensors/group_types.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::checkpoint {
namespace {

using nlohmann::json;

json CompressedTensors(int bits, bool symmetric, const char* act_order = nullptr) {
  json weights = {{"num_bits", bits}, {"type", "int"}, {"symmetric", symmetric}};
  if (bits == 4) {
    weights.update({{"strategy", "group"}, {"group_size", 128}});
  } else {
    weights["strategy"] = "channel";
  }
  if (act_order != nullptr) weights["actorder"] = act_order;
  return {{"quant_method", "compressed-tensors"},
          {"format", bits == 4 ? "pack-quantized" : "int-quantized"},
          {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}},
          {"ignore", {"lm_head"}}};
}

json Gptq(bool act_order) {
  return {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}, {"desc_act", act_order}};
}

model::ModelConfig Small(const json& quantization) {
  json config = model::SmallJson();
  config["quantization_config"] = quantization;
  if (quantization.is_null()) config.erase("quantization_config");
  return model::MustParse(config);
}

std::vector<model::ModelConfig> EveryKind() {
  return {model::Small(),
          Small(nullptr),
          Small({{"quant_method", "awq"}, {"bits", 4}, {"group_size", 128}}),
          Small(Gptq(false)),
          Small(Gptq(true)),
          Small(CompressedTensors(4, true)),
          Small(CompressedTensors(4, false)),
          Small(CompressedTensors(4, true, "group")),
          Small(CompressedTensors(8, true))};
}

CheckpointReader Open(const model::ModelConfig& config) {
  auto reader = CheckpointReader::Open("nowhere", config, model::LoadFormat::kDummy);
  EXPECT_TRUE(reader.ok()) << reader.status();
  return *std::move(reader);
}

// The values of a whole matrix or vector.
std::vector<float> ValuesOf(const model::ModelConfig& config, const CheckpointReader& reader,
                            const model::TensorSpec& spec) {
  const int64_t rows = spec.shape[0], cols = spec.shape.size() > 1 ? spec.shape[1] : 1;
  std::vector<float> values(static_cast<size_t>(rows * cols));
  if (model::IsStoredInGroups(config, spec)) {
    const auto weight = GroupQuantizedWeight::Open(reader, *config.group_quantization, spec.name, rows, cols);
    EXPECT_TRUE(weight.ok()) << weight.status();
    EXPECT_TRUE(weight->ReadValues({.rows = rows, .cols = cols}, values.data()).ok());
    return values;
  }
  const TensorView view = *reader.Get(spec.name);
  for (int64_t i = 0; i < rows * cols; ++i) {
    if (view.dtype == DType::kBF16) {
      values[i] = ToFloat(reinterpret_cast<const bf16*>(view.bytes.data())[i]);
      continue;
    }
    const TensorView scale = *reader.Get(spec.scale_name());
    values[i] =
        ToFloat(reinterpret_cast<const fp8_e4m3*>(view.bytes.data())[i]) *
        reinterpret_cast<const float*>(scale.bytes.data())[i / cols / 128 * scale.shape[1] + i % cols / 128];
  }
  return values;
}

TEST(DummyTensorsTest, PassTheCheckOfFiles) {
  for (const model::ModelConfig& config : EveryKind()) {
    const CheckpointReader reader = Open(config);
    const auto summary = CheckCheckpoint(config, reader);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->ignored_tensors, 0);
    EXPECT_EQ(summary->mtp_layers, config.num_nextn_predict_layers);
    EXPECT_EQ(summary->bytes, reader.total_bytes());
    EXPECT_TRUE(BlockTypesOf(config, reader).ok());
  }
}

TEST(DummyTensorsTest, ValuesAreOnesThatModelsHave) {
  for (const model::ModelConfig& config : EveryKind()) {
    const CheckpointReader reader = Open(config);
    std::vector<model::TensorSpec> specs = model::LayerTensors(config, 1);
    for (const model::TensorSpec& spec : model::TopTensors(config)) specs.push_back(spec);
    for (const model::TensorSpec& spec : specs) {
      SCOPED_TRACE(spec.name);
      double squares = 0, largest = 0;
      const std::vector<float> values = ValuesOf(config, reader, spec);
      for (const float value : values) {
        ASSERT_TRUE(std::isfinite(value));
        squares += static_cast<double>(value) * value;
        largest = std::max(largest, std::abs(static_cast<double>(value)));
      }
      const double deviation = std::sqrt(squares / static_cast<double>(values.size()));
      if (spec.name.find("norm") != std::string::npos) {
        EXPECT_EQ(deviation, 1);
        EXPECT_EQ(largest, 1);
      } else {
        EXPECT_GT(deviation, 0.01);
        EXPECT_LT(deviation, 0.05);
        EXPECT_LT(largest, 0.15);
      }
    }
  }
}

TEST(DummyTensorsTest, AreTheSameEveryTimeAndNoTwoAlike) {
  const model::ModelConfig config = model::Small();
  const CheckpointReader first = Open(config), second = Open(config);
  for (const std::string& name : first.names()) {
    const TensorView a = *first.Get(name), b = *second.Get(name);
    ASSERT_EQ(a.bytes.size(), b.bytes.size());
    EXPECT_NE(a.bytes.data(), b.bytes.data());
    EXPECT_EQ(std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()), 0) << name;
  }
  const auto expert = [&](int number) {
    return *first.Get("model.layers.1.mlp.experts." + std::to_string(number) + ".up_proj.weight");
  };
  EXPECT_NE(std::memcmp(expert(0).bytes.data(), expert(1).bytes.data(), 64), 0);
}

// Hundreds of gigabytes of tensors take the memory of a few blocks.
TEST(DummyTensorsTest, OfTheWholeR1) {
  const model::ModelConfig config = model::MustParse(model::R1Json());
  const CheckpointReader reader = Open(config);
  const auto summary = CheckCheckpoint(config, reader);
  ASSERT_TRUE(summary.ok()) << summary.status();
  // 671 billion, and the MTP layer with its copies of embedding and head.
  EXPECT_GT(summary->parameters, 684'000'000'000);
  EXPECT_LT(summary->parameters, 685'000'000'000);
  EXPECT_GT(reader.total_bytes(), 684'000'000'000);
  const TensorView head = *reader.Get("lm_head.weight");
  EXPECT_EQ(head.bytes.size(), size_t{129280} * 7168 * 2);
  EXPECT_NE(head.bytes.back(), std::byte{0x7f}) << "readable to its end";
}

TEST(DummyTensorsTest, AGgufIsRefused) {
  const auto reader = CheckpointReader::Open("model.gguf", model::Small(), model::LoadFormat::kDummy);
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace deeprack::checkpoint
