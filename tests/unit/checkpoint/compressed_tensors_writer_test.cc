// Writes folders of integers in groups and reads them back: the values equal the ones that quantisation chose.
#include "checkpoint/group_quantized/compressed_tensors_writer.h"

#include <filesystem>
#include <thread>

#include "base/quantize/group_quantize.h"
#include "checkpoint/group_quantized/group_quantized.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/checkpoint/group_files.h"
#include "tests/unit/model/r1_config.h"

namespace deeprack::checkpoint {
namespace {

using ::testing::HasSubstr;

constexpr char kOther[] = "model.layers.0.self_attn.o_proj.weight";
constexpr char kNorm[] = "model.norm.weight";
constexpr int64_t kRows = 27;
constexpr int64_t kCols = 384;

std::vector<float> Values(int64_t count, uint64_t seed) {
  Draws draws(seed);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<float>(draws.Below(20001) - 10000) * 1e-4f);
  return values;
}

std::vector<FolderTensor> Tensors(DType type) {
  return {{kNorm, DType::kF32, {40}}, {kWeight, type, {kRows, kCols}}, {kOther, DType::kBF16, {kRows, 8}}};
}

// Writes the model of Tensors(type) in pieces of kRowStep rows on two threads.
std::vector<float> Write(const std::string& folder, DType type, const CompressedTensorsOptions& options) {
  const std::vector<float> values = Values(kRows * kCols, 5);
  auto writer = CompressedTensorsWriter::Create(folder, Tensors(type), options);
  EXPECT_TRUE(writer.ok()) << writer.status();
  if (!writer.ok()) return values;
  const auto write = [&](int64_t first) {
    for (int64_t row = first; row < kRows; row += 2 * CompressedTensorsWriter::kRowStep) {
      const int64_t rows = std::min(CompressedTensorsWriter::kRowStep, kRows - row);
      EXPECT_TRUE((*writer)->WriteRows(1, row, rows, values.data() + row * kCols).ok());
    }
  };
  std::thread other(write, CompressedTensorsWriter::kRowStep);
  write(0);
  other.join();
  EXPECT_TRUE((*writer)->WriteRows(0, 0, 1, values.data()).ok());
  std::string stored(kRows * 8 * 2, '\x3f');
  EXPECT_TRUE((*writer)->WriteStored(2, 0, AsBytes(stored)).ok());
  const absl::Status committed = (*writer)->Commit(model::R1Json().dump(), {"lm_head", "some.module"});
  EXPECT_TRUE(committed.ok()) << committed;
  return values;
}

model::GroupQuantization ConfigOf(const std::string& folder) {
  const auto config = model::ParseModelConfig(ReadBytes(folder + "/config.json"));
  EXPECT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->quantization_config.has_value());
  EXPECT_TRUE(config->group_quantization->Quantizes("model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(config->group_quantization->Quantizes("some.module"));
  return *config->group_quantization;
}

std::vector<float> ReadBack(const std::string& folder) {
  std::vector<float> values(kRows * kCols);
  const auto reader = CheckpointReader::Open(folder);
  EXPECT_TRUE(reader.ok()) << reader.status();
  const auto weight = GroupQuantizedWeight::Open(*reader, ConfigOf(folder), kWeight, kRows, kCols);
  EXPECT_TRUE(weight.ok()) << weight.status();
  EXPECT_TRUE(weight->ReadValues({0, kRows, 0, kCols}, values.data()).ok());
  EXPECT_EQ(reader->Find(kNorm)->dtype, DType::kF32);
  EXPECT_EQ(std::memcmp(reader->Find(kNorm)->bytes.data(), Values(40, 5).data(), 160), 0);
  EXPECT_EQ(reader->Find(kOther)->bytes.front(), std::byte{0x3f});
  return values;
}

TEST(CompressedTensorsWriterTest, Int4ComesBackAsQuantised) {
  for (const bool symmetric : {true, false}) {
    for (const int64_t file_bytes : {int64_t{1}, int64_t{1} << 20}) {
      const TestFolder folder;
      const std::string path = folder / "out";
      const std::vector<float> values =
          Write(path, DType::kInt4G128, {.symmetric = symmetric, .file_bytes = file_bytes});
      std::vector<float> expected(values.size());
      for (size_t i = 0; i < values.size(); i += 128) {
        const BlockInt4G128 block = QuantizeInt4Group({values.data() + i, 128}, symmetric);
        Dequantize(DType::kInt4G128, &block, 128, expected.data() + i);
      }
      EXPECT_EQ(ReadBack(path), expected);
      EXPECT_EQ(ConfigOf(path).symmetric, symmetric);
      EXPECT_EQ(std::filesystem::exists(path + "/model.safetensors.index.json"), file_bytes == 1);
      EXPECT_EQ(std::filesystem::exists(path + "/model-00003-of-00003.safetensors"), file_bytes == 1);
      for (const auto& entry : std::filesystem::directory_iterator(path)) {
        EXPECT_NE(entry.path().extension(), ".partial");
      }
    }
  }
}

TEST(CompressedTensorsWriterTest, Int8ComesBackAsQuantised) {
  const TestFolder folder;
  const std::vector<float> values = Write(folder / "out", DType::kInt8G128, {});
  std::vector<float> expected;
  for (int64_t row = 0; row < kRows; ++row) {
    std::vector<int8_t> q(kCols);
    const float scale = ToFloat(QuantizeInt8Row({values.data() + row * kCols, kCols}, q.data()));
    for (const int8_t level : q) expected.push_back(static_cast<float>(level) * scale);
  }
  EXPECT_EQ(ReadBack(folder / "out"), expected);
}

TEST(CompressedTensorsWriterTest, LeavesNoFileWithoutCommit) {
  const TestFolder folder;
  ASSERT_TRUE(CompressedTensorsWriter::Create(folder / "out", Tensors(DType::kInt4G128), {}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder / "out"));
}

TEST(CompressedTensorsWriterTest, SaysWhyItCannotWrite) {
  const TestFolder folder;
  WriteBytes(folder / "notes", "mine");
  const absl::Status full =
      CompressedTensorsWriter::Create(folder.path(), Tensors(DType::kInt4G128), {}).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(full.message()), HasSubstr(folder.path()));
  const absl::Status file =
      CompressedTensorsWriter::Create(folder / "notes", Tensors(DType::kInt4G128), {}).status();
  EXPECT_EQ(file.code(), absl::StatusCode::kUnavailable);
  std::vector<FolderTensor> huge = {{kWeight, DType::kInt8G128, {int64_t{1} << 31, int64_t{1} << 31}}};
  const absl::Status room = CompressedTensorsWriter::Create(folder / "huge", huge, {}).status();
  EXPECT_EQ(room.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(room.message()), HasSubstr("make room"));
}

TEST(CompressedTensorsWriterTest, RefusesAConfigThatIsNone) {
  const TestFolder folder;
  auto writer = CompressedTensorsWriter::Create(folder / "out", {{kNorm, DType::kF32, {1}}}, {});
  ASSERT_TRUE(writer.ok());
  const float one = 1;
  ASSERT_TRUE((*writer)->WriteRows(0, 0, 1, &one).ok());
  EXPECT_EQ((*writer)->Commit("[]", {}).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace deeprack::checkpoint
