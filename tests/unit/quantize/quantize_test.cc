// Runs `deeprack quantize` on small models. tests/formats compares the tensors of the files with numpy and
// the `gguf` package.
#include "cli/quantize/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "checkpoint/check/checkpoint_check.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/files/model_files.h"
#include "tests/source_tree.h"
#include "tests/unit/checkpoint/checkpoint_files.h"

namespace deeprack::cli {
namespace {

using checkpoint::ReadBytes;
using checkpoint::TestFolder;
using testing::HasSubstr;

const std::string kGoldens = InSourceTree("tests/parity/goldens/");
const std::string kDemo = InSourceTree("demo/model");

absl::StatusOr<std::string> Written(const std::string& in, const std::string& out, const std::string& type,
                                    int threads = 2) {
  return RunQuantize({.in = in, .out = out, .type = type, .threads = threads});
}

// A copy of a golden's folder; `bytes` replace the first bytes of the first tensor in its first file.
void CopyDamaged(const std::string& golden, const std::string& folder, const std::string& bytes) {
  std::filesystem::copy(kGoldens + golden, folder, std::filesystem::copy_options::recursive);
  const std::string path = folder + "/model-00001-of-00002.safetensors";
  std::string file = ReadBytes(path);
  uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof(header));
  file.replace(8 + header, bytes.size(), bytes);
  checkpoint::WriteBytes(path, file);
}

TEST(Quantize, SaysWhatItWrote) {
  const TestFolder folder;
  const auto said = Written(kDemo, folder / "demo.gguf", "q8_0");
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_THAT(*said, HasSubstr("routed experts            2949120     8.50      3.0 MiB  Q8_0\n"));
  EXPECT_THAT(*said, HasSubstr("MTP projection              73728     8.50     76.5 KiB  Q8_0\n"));
  EXPECT_THAT(*said, HasSubstr("norms, routers              19472    32.00     76.1 KiB  F32\n"));
  EXPECT_THAT(*said, HasSubstr("with the MTP layer"));
  const auto reader = checkpoint::CheckpointReader::Open(folder / "demo.gguf");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->Find("model.layers.1.mlp.experts.3.up_proj.weight")->dtype, DType::kQ8_0);
}

TEST(Quantize, TheMtpLayerIsWritten) {
  const TestFolder folder;
  const auto check = [](const std::string& path) {
    const auto config = model::LoadModelConfig(path);
    EXPECT_TRUE(config.ok()) << config.status();
    const auto reader = checkpoint::CheckpointReader::Open(path);
    EXPECT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(reader->Find("model.layers.5.embed_tokens.weight"), nullptr);
    EXPECT_EQ(config->num_hidden_layers, 5);
    return checkpoint::CheckCheckpoint(*config, *reader).value();
  };
  ASSERT_TRUE(Written(kDemo, folder / "demo.gguf", "Q4_K_M").ok());
  EXPECT_EQ(check(folder / "demo.gguf").mtp_layers, 1);
  EXPECT_EQ(check(folder / "demo.gguf").ignored_tensors, 0);
  ASSERT_TRUE(Written(folder / "demo.gguf", folder / "again.gguf", "Q2_K").ok());
  EXPECT_EQ(check(folder / "again.gguf").mtp_layers, 1);

  for (const char* type : {"Q8_0", "INT8"}) {
    const std::string out = folder / (type[0] == 'Q' ? "without.gguf" : "without");
    const auto said = RunQuantize({.in = kDemo, .out = out, .type = type, .threads = 2, .without_mtp = true});
    ASSERT_TRUE(said.ok()) << said.status();
    EXPECT_THAT(*said, testing::Not(HasSubstr("MTP")));
    EXPECT_EQ(check(out).mtp_layers, 0);
  }
  const auto said = Written(folder / "without", folder / "unstored.gguf", "Q8_0");
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_THAT(*said, HasSubstr("without does not hold the MTP layer that the config declares\n"));
  EXPECT_EQ(check(folder / "unstored.gguf").mtp_layers, 0);
}

TEST(Quantize, ThreadsDoNotChangeTheFile) {
  const TestFolder folder;
  ASSERT_TRUE(Written(kDemo, folder / "one.gguf", "Q4_K_M", 1).ok());
  ASSERT_TRUE(Written(kDemo, folder / "three.gguf", "Q4_K_M", 3).ok());
  EXPECT_EQ(ReadBytes(folder / "one.gguf"), ReadBytes(folder / "three.gguf"));
}

TEST(Quantize, AGgufOfTheSameTypeStaysAsItIs) {
  const TestFolder folder;
  ASSERT_TRUE(Written(kDemo, folder / "first.gguf", "Q5_K_M").ok());
  const auto said = Written(folder / "first.gguf", folder / "second.gguf", "Q5_K_M");
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_THAT(*said, HasSubstr("was quantised already"));
  ASSERT_TRUE(Written(folder / "second.gguf", folder / "third.gguf", "Q5_K_M").ok());
  EXPECT_EQ(ReadBytes(folder / "second.gguf"), ReadBytes(folder / "third.gguf"));
  const auto first = checkpoint::CheckpointReader::Open(folder / "first.gguf");
  const auto second = checkpoint::CheckpointReader::Open(folder / "second.gguf");
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_EQ(first->names(), second->names());
  for (const std::string& name : first->names()) {
    const auto a = first->Find(name)->bytes;
    const auto b = second->Find(name)->bytes;
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
  }
}

TEST(Quantize, FromFoldersAndGgufsOfEveryArchitecture) {
  const TestFolder folder;
  for (const char* golden : {"r1", "plain", "llama_grouped", "qwen2_tied"}) {
    for (const char* type : {"BF16", "Q6_K", "Q2_K_S"}) {
      EXPECT_TRUE(Written(kGoldens + golden, folder / "a.gguf", type).ok()) << golden;
      EXPECT_TRUE(Written(folder / "a.gguf", folder / "b.gguf", "Q4_K_S").ok()) << golden;
    }
  }
}

TEST(Quantize, Int8FoldersOfEveryArchitectureAreAccepted) {
  for (const char* golden : {"r1", "mtp", "llama_grouped", "qwen2_tied"}) {
    const TestFolder folder;
    const auto said = Written(kGoldens + golden, folder / "one", "int8", 1);
    ASSERT_TRUE(said.ok()) << said.status();
    ASSERT_TRUE(Written(kGoldens + golden, folder / "three", "INT8", 3).ok());
    EXPECT_EQ(ReadBytes(folder / "one/model.safetensors"), ReadBytes(folder / "three/model.safetensors"));
    const auto config = model::ParseModelConfig(ReadBytes(folder / "one/config.json"));
    ASSERT_TRUE(config.ok()) << config.status();
    const auto reader = checkpoint::CheckpointReader::Open(folder / "one");
    ASSERT_TRUE(reader.ok()) << reader.status();
    const auto checked = checkpoint::CheckCheckpoint(*config, *reader);
    EXPECT_TRUE(checked.ok()) << checked.status();
    EXPECT_EQ(checked->ignored_tensors, 0);
    EXPECT_EQ(checked->mtp_layers, config->num_nextn_predict_layers);
    EXPECT_EQ(reader->Find("model.layers.0.self_attn.o_proj.weight")->dtype, DType::kI8);
    // Quantises again, from integers to a GGUF.
    const auto again = Written(folder / "one", folder / "model.gguf", "Q8_0");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_THAT(*again, HasSubstr("was quantised already"));
  }
}

TEST(Quantize, FoldersKeepTheirTexts) {
  const TestFolder folder;
  ASSERT_TRUE(Written(kDemo, folder / "out", "INT8").ok());
  for (const char* name : {"tokenizer.json", "generation_config.json"}) {
    EXPECT_EQ(ReadBytes(kDemo + "/" + name), ReadBytes(folder / "out/" + name)) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out/model.safetensors.index.json"));
}

TEST(Quantize, FoldersThatCannotBe) {
  const TestFolder folder;
  const auto no_groups = Written(kDemo, folder / "out", "INT4");  // hidden 192
  EXPECT_TRUE(absl::IsFailedPrecondition(no_groups.status()));
  EXPECT_THAT(no_groups.status().message(), HasSubstr("whole groups of 128"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  EXPECT_TRUE(absl::IsInvalidArgument(Written(kDemo, folder / "a.gguf", "INT8").status()));
  ASSERT_TRUE(Written(kDemo, folder / "a.gguf", "Q8_0").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Written(folder / "a.gguf", folder / "out", "INT8").status()));
  const auto full = Written(kDemo, folder.path(), "INT8");
  EXPECT_TRUE(absl::IsFailedPrecondition(full.status()));
  EXPECT_THAT(full.status().message(), HasSubstr("holds something already"));
}

TEST(Quantize, OptionsThatCannotBe) {
  const TestFolder folder;
  const auto type = Written(kDemo, folder / "a.gguf", "Q4_0");
  EXPECT_TRUE(absl::IsInvalidArgument(type.status()));
  EXPECT_THAT(type.status().message(), HasSubstr("--type Q4_0 is unknown; there are: F16, BF16, Q8_0"));
  const auto name = Written(kDemo, folder / "a.bin", "Q8_0");
  EXPECT_TRUE(absl::IsInvalidArgument(name.status()));
  const auto nowhere = Written(folder / "none", folder / "a.gguf", "Q8_0");
  EXPECT_TRUE(absl::IsFailedPrecondition(nowhere.status()));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Quantize, WhatGgufHasNoWordsFor) {
  const TestFolder folder;
  const auto said = Written(kGoldens + "yarn_amplitude", folder / "a.gguf", "Q8_0");
  EXPECT_TRUE(absl::IsFailedPrecondition(said.status()));
  EXPECT_THAT(said.status().message(), HasSubstr("mscale 1 beside mscale_all_dim 0 cannot be said"));
}

TEST(Quantize, DamagedWeights) {
  for (const char* golden : {"llama_grouped", "fp8"}) {  // a weight; a scale
    const TestFolder folder;
    CopyDamaged(golden, folder.path(), "\xc0\x7f\xc0\x7f");  // NaN in bf16 and in fp32
    const auto said = Written(folder.path(), folder / "a.gguf", "Q4_K_M");
    EXPECT_TRUE(absl::IsDataLoss(said.status())) << said.status();
    EXPECT_THAT(said.status().message(), HasSubstr("holds NaN or infinity"));
    EXPECT_FALSE(std::filesystem::exists(folder / "a.gguf"));
    EXPECT_FALSE(std::filesystem::exists(folder / "a.gguf.partial"));

    std::filesystem::remove(folder / "model-00002-of-00002.safetensors");
    EXPECT_TRUE(absl::IsDataLoss(Written(folder.path(), folder / "a.gguf", "Q4_K_M").status()));
  }
}

TEST(Quantize, WeightsThatHalvesCannotHold) {
  const TestFolder folder;
  CopyDamaged("llama_grouped", folder.path(), std::string("\x00\x48", 2));  // 131072
  const auto said = Written(folder.path(), folder / "a.gguf", "F16");
  EXPECT_TRUE(absl::IsFailedPrecondition(said.status())) << said.status();
  EXPECT_THAT(said.status().message(), HasSubstr("holds 131072, which F16 cannot"));
  EXPECT_TRUE(Written(folder.path(), folder / "a.gguf", "BF16").ok());
}

}  // namespace
}  // namespace deeprack::cli
