// The demo model in the repository is a checkpoint in R1's format.
#include <filesystem>
#include <string>

#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/checkpoint_reader.h"
#include "gtest/gtest.h"
#include "model/config/model_config.h"
#include "tests/source_tree.h"
#include "tests/unit/checkpoint/checkpoint_files.h"

namespace deeprack::checkpoint {
namespace {

const std::string kDemoModel = InSourceTree("demo/model");

TEST(DemoModelTest, IsStoredAsR1Is) {
  const auto config = model::ParseModelConfig(ReadBytes(kDemoModel + "/config.json"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->quantization_config.has_value());
  EXPECT_TRUE(config->q_lora_rank.has_value());
  EXPECT_TRUE(config->rope_scaling.has_value());
  EXPECT_GE(config->num_hidden_layers - config->first_k_dense_replace, 3);
  EXPECT_GT(config->n_group, 1);
  EXPECT_GT(config->n_shared_experts, 0);
  EXPECT_TRUE(model::ParseGenerationConfig(ReadBytes(kDemoModel + "/generation_config.json")).ok());

  const auto reader = CheckpointReader::Open(kDemoModel);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE(std::filesystem::exists(kDemoModel + "/" + kIndexFileName));
  const auto summary = CheckCheckpoint(*config, *reader);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->mtp_layers, 1);
  EXPECT_EQ(summary->ignored_tensors, 0);
}

TEST(DemoModelTest, TakesAtMost16MiB) {
  uintmax_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(kDemoModel)) bytes += file.file_size();
  EXPECT_LE(bytes, 16u << 20);
}

}  // namespace
}  // namespace deeprack::checkpoint
