#include "checkpoint/check/checkpoint_check.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/checkpoint/checkpoint_files.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kProjection[] = "model.layers.0.self_attn.kv_a_proj_with_mqa.weight";
constexpr char kNorm[] = "model.layers.2.input_layernorm.weight";

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

model::ModelConfig Unquantised() {
  auto json = model::SmallJson();
  json["quantization_config"] = nullptr;
  return model::MustParse(json);
}

TEST(CheckpointCheckTest, AcceptsTheWholeModel) {
  const model::ModelConfig config = model::Small();
  TestTensors tensors = TensorsOfModel(config);
  int64_t parameters = 0;
  for (const model::TensorSpec& spec : model::TensorsOf(config)) {
    parameters += spec.shape[0] * (spec.shape.size() > 1 ? spec.shape[1] : 1);
  }
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {.shape = {12}};
  const auto summary = Check(config, tensors);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->tensors, static_cast<int64_t>(tensors.size()) - 1);
  EXPECT_EQ(summary->ignored_tensors, 1);
  EXPECT_EQ(summary->parameters, parameters);
  EXPECT_EQ(summary->mtp_layers, 1);
}

TEST(CheckpointCheckTest, AcceptsBf16F16AndF32WithoutQuantisation) {
  const model::ModelConfig config = Unquantised();
  TestTensors tensors = TensorsOfModel(config);
  tensors[kProjection].dtype = DType::kF16;
  tensors[kNorm].dtype = DType::kF32;
  EXPECT_TRUE(Check(config, tensors).ok());
}

TEST(CheckpointCheckTest, RefusesAMissingTensor) {
  TestTensors tensors = TensorsOfModel(model::Small());
  tensors.erase(kNorm);
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kNotFound),
              AllOf(HasSubstr(kNorm), HasSubstr("[200]"), HasSubstr("missing")));
}

TEST(CheckpointCheckTest, RefusesAMissingScale) {
  TestTensors tensors = TensorsOfModel(model::Small());
  tensors.erase(std::string(kProjection) + "_scale_inv");
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kNotFound),
              AllOf(HasSubstr("with_mqa.weight_scale_inv"), HasSubstr("[2, 2]"), HasSubstr("missing")));
}

TEST(CheckpointCheckTest, RefusesWrongTypes) {
  TestTensors tensors = TensorsOfModel(model::Small());
  tensors[kProjection].dtype = DType::kBF16;
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr(kProjection), HasSubstr("is BF16, expected F8_E4M3")));

  tensors = TensorsOfModel(model::Small());
  tensors[kNorm].dtype = DType::kI32;
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr(kNorm), HasSubstr("is I32, expected BF16, F16 or F32")));

  tensors = TensorsOfModel(model::Small());
  tensors[std::string(kProjection) + "_scale_inv"].dtype = DType::kBF16;
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("scale_inv"), HasSubstr("is BF16, expected F32")));

  tensors = TensorsOfModel(Unquantised());
  tensors[kProjection].dtype = DType::kF8E4M3;
  EXPECT_THAT(Fault(Unquantised(), tensors, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("is F8_E4M3"), HasSubstr("no quantization_config")));
}

TEST(CheckpointCheckTest, RefusesWrongShapes) {
  const std::vector<std::vector<int64_t>> wrong_shapes = {{200, 160}, {160, 201}, {32000}, {160, 200, 1}};
  for (const std::vector<int64_t>& shape : wrong_shapes) {
    TestTensors tensors = TensorsOfModel(model::Small());
    tensors[kProjection].shape = shape;
    EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kInvalidArgument),
                AllOf(HasSubstr(kProjection), HasSubstr("expected [160, 200]")));
  }
  TestTensors tensors = TensorsOfModel(model::Small());
  tensors[std::string(kProjection) + "_scale_inv"].shape = {1, 2};
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("[1, 2]"), HasSubstr("expected [2, 2]")));
}

TEST(CheckpointCheckTest, AnMtpLayerIsThereWholeOrNotAtAll) {
  const std::string prefix = "model.layers.3.";
  TestTensors tensors = TensorsOfModel(model::Small());
  std::erase_if(tensors, [&](const auto& entry) { return entry.first.starts_with(prefix); });
  const auto without = Check(model::Small(), tensors);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->mtp_layers, 0);

  tensors = TensorsOfModel(model::Small());
  tensors.erase(prefix + "enorm.weight");
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kNotFound),
              AllOf(HasSubstr("model.layers.3.enorm.weight"), HasSubstr("whole or not at all")));

  tensors = TensorsOfModel(model::Small());
  tensors[prefix + "eh_proj.weight"].shape = {200, 200};
  EXPECT_THAT(Fault(model::Small(), tensors, absl::StatusCode::kInvalidArgument), HasSubstr("eh_proj"));
}

std::string WhyNoMtpOf(const model::ModelConfig& config, const TestTensors& tensors) {
  const TestFolder folder;
  WriteTensors(folder, tensors);
  const auto reader = CheckpointReader::Open(folder.path());
  EXPECT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE(CheckCheckpoint(config, *reader).ok());
  return WhyNoMtp(config, *reader);
}

TEST(CheckpointCheckTest, AnMtpLayerNeedsNoCopiesOfEmbeddingAndHead) {
  const std::string prefix = "model.layers.3.";
  TestTensors tensors = TensorsOfModel(model::Small());
  EXPECT_EQ(WhyNoMtpOf(model::Small(), tensors), "");
  tensors.erase(prefix + "embed_tokens.weight");
  tensors.erase(prefix + "shared_head.head.weight");
  EXPECT_EQ(WhyNoMtpOf(model::Small(), tensors), "");
  const auto summary = Check(model::Small(), tensors);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->mtp_layers, 1);
  EXPECT_EQ(summary->ignored_tensors, 0);
}

TEST(CheckpointCheckTest, AnMtpLayerOfATypeThatCannotBeLoadedCountsAsAbsent) {
  const std::string projection = "model.layers.3.self_attn.kv_a_proj_with_mqa.weight";
  TestTensors tensors = TensorsOfModel(Unquantised());
  tensors[projection].dtype = DType::kF8E4M3;
  const auto summary = Check(Unquantised(), tensors);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->mtp_layers, 0);
  EXPECT_THAT(WhyNoMtpOf(Unquantised(), tensors),
              AllOf(HasSubstr(projection), HasSubstr("is F8_E4M3, expected BF16")));
  std::erase_if(tensors, [](const auto& entry) { return entry.first.starts_with("model.layers.3."); });
  EXPECT_THAT(WhyNoMtpOf(Unquantised(), tensors), HasSubstr("does not hold the MTP layer"));
  auto json = model::SmallJson();
  json["num_nextn_predict_layers"] = 0;
  EXPECT_EQ(WhyNoMtp(model::MustParse(json)), "the model has no MTP layer");
}

// A file in which two tensors have 4-bit floats, which are no DType.
TEST(CheckpointCheckTest, AnMtpLayerOfATypeThatIsNotReadCountsAsAbsent) {
  const std::string projection = "model.layers.3.self_attn.o_proj.weight";
  const model::ModelConfig config = Unquantised();
  const auto open = [&](const std::string& changed, const TestFolder& folder) {
    TestTensors tensors = TensorsOfModel(config);
    WriteTensors(folder, tensors);
    std::string file = ReadBytes(folder / kSingleFileName);
    const size_t name = file.find('"' + changed + '"');
    const size_t type = file.find("\"BF16\"", name);
    EXPECT_LT(type, file.find('}', name));
    WriteBytes(folder / kSingleFileName, file.replace(type, 6, "\"F4\"  "));
    return CheckpointReader::Open(folder.path());
  };
  const TestFolder folder, trunk;
  const auto reader = open(projection, folder);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto summary = CheckCheckpoint(config, *reader);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->mtp_layers, 0);
  EXPECT_EQ(reader->UnreadType(projection), "F4");
  EXPECT_EQ(reader->Find(projection), nullptr);
  EXPECT_THAT(WhyNoMtp(config, *reader), HasSubstr(projection + " is F4, expected BF16"));

  const auto refused = open(kProjection, trunk);
  ASSERT_TRUE(refused.ok()) << refused.status();
  const absl::Status status = CheckCheckpoint(config, *refused).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(kProjection) + " is F4, expected BF16"));
}

// The first layer drafts, so it is served when a later one is missing.
TEST(CheckpointCheckTest, MtpLayersAreCountedUpToTheFirstThatIsAbsent) {
  auto json = model::SmallJson();
  json["num_nextn_predict_layers"] = 3;
  const model::ModelConfig config = model::MustParse(json);
  TestTensors tensors = TensorsOfModel(config);
  EXPECT_EQ(Check(config, tensors)->mtp_layers, 3);
  std::erase_if(tensors, [](const auto& entry) { return entry.first.starts_with("model.layers.4."); });
  EXPECT_EQ(Check(config, tensors)->mtp_layers, 1);
  EXPECT_EQ(WhyNoMtpOf(config, tensors), "");
}

TEST(CheckpointCheckTest, MtpTensorsThatAreNotDeclaredAreIgnored) {
  auto json = model::SmallJson();
  const TestTensors tensors = TensorsOfModel(model::MustParse(json));
  json["num_nextn_predict_layers"] = 0;
  const auto summary = Check(model::MustParse(json), tensors);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->mtp_layers, 0);
  EXPECT_GT(summary->ignored_tensors, 20);
}

TEST(CheckpointCheckTest, TiedEmbeddingsNeedNoHead) {
  auto json = model::SmallJson();
  TestTensors tensors = TensorsOfModel(model::MustParse(json));
  tensors.erase("lm_head.weight");
  EXPECT_THAT(Fault(model::MustParse(json), tensors, absl::StatusCode::kNotFound),
              HasSubstr("lm_head.weight"));
  json["tie_word_embeddings"] = true;
  EXPECT_TRUE(Check(model::MustParse(json), tensors).ok());
}

}  // namespace
}  // namespace deeprack::checkpoint
