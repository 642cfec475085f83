#include "checkpoint/checkpoint_reader.h"

#include <filesystem>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/checkpoint/checkpoint_files.h"

namespace deeprack::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kFirst[] = "model-00001-of-000002.safetensors";
constexpr char kSecond[] = "model-00002-of-000002.safetensors";

TestTensors TwoShards() {
  return {{"a", {.shape = {2, 3}, .file = kFirst}},
          {"b", {.dtype = DType::kBF16, .shape = {4}, .file = kSecond}},
          {"c", {.dtype = DType::kU8, .shape = {5}, .file = kSecond}}};
}

std::string Fault(const TestFolder& folder, absl::StatusCode code) {
  const absl::Status status = CheckpointReader::Open(folder.path()).status();
  EXPECT_EQ(status.code(), code) << status;
  return std::string(status.message());
}

void WriteIndex(const TestFolder& folder, const std::string& weight_map) {
  WriteBytes(folder / kIndexFileName,
             "{\"metadata\": {\"total_size\": 1, \"x\": [{}]}, \"weight_map\": " + weight_map + "}");
}

TEST(CheckpointReaderTest, ReadsASingleFile) {
  const TestFolder folder;
  WriteTensors(folder, {{"a", {.shape = {2}}}, {"b", {.shape = {3}}}});
  const auto reader = CheckpointReader::Open(folder.path());
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_THAT(reader->names(), ElementsAre("a", "b"));
  EXPECT_EQ(reader->total_bytes(), 20);
}

TEST(CheckpointReaderTest, ReadsShardsThroughTheIndex) {
  const TestFolder folder;
  WriteTensors(folder, TwoShards());
  auto opened = CheckpointReader::Open(folder.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const CheckpointReader reader = std::move(*opened);
  EXPECT_EQ(reader.tensor_count(), 3);
  EXPECT_EQ(reader.total_bytes(), 24 + 8 + 5);
  ASSERT_NE(reader.Find("c"), nullptr);
  EXPECT_THAT(reader.Find("c")->shape, ElementsAre(5));
  EXPECT_EQ(std::to_integer<char>(reader.Find("c")->bytes[4]), 'c');
  EXPECT_EQ(reader.FileOf("c"), folder / kSecond);
  EXPECT_EQ(reader.Find("d"), nullptr);
  EXPECT_EQ(reader.FileOf("d"), "");
  EXPECT_EQ(reader.Get("d").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(reader.Get("a").ok());
  reader.Prefetch("a");
  reader.Prefetch("d");
}

// Hugging Face's cache has symbolic links to files in other folders.
TEST(CheckpointReaderTest, FollowsLinks) {
  const TestFolder files;
  const TestFolder links;
  WriteTensors(files, {{"a", {.shape = {2}}}});
  std::filesystem::create_symlink(files / kSingleFileName, links / kSingleFileName);
  EXPECT_TRUE(CheckpointReader::Open(links.path()).ok());
}

TEST(CheckpointReaderTest, RefusesFoldersWithoutACheckpoint) {
  const TestFolder folder;
  EXPECT_THAT(Fault(folder, absl::StatusCode::kNotFound),
              AllOf(HasSubstr("model.safetensors.index.json"), HasSubstr("nor model.safetensors")));
  EXPECT_THAT(std::string(CheckpointReader::Open(folder / "absent").status().message()),
              HasSubstr("no such folder"));
}

TEST(CheckpointReaderTest, RefusesAMissingShard) {
  const TestFolder folder;
  WriteTensors(folder, TwoShards());
  std::filesystem::remove(folder / kSecond);
  EXPECT_THAT(Fault(folder, absl::StatusCode::kNotFound), AllOf(HasSubstr(kSecond), HasSubstr("missing")));
}

TEST(CheckpointReaderTest, RefusesADamagedShard) {
  const TestFolder folder;
  WriteTensors(folder, TwoShards());
  std::filesystem::resize_file(folder / kSecond, 60);
  EXPECT_THAT(Fault(folder, absl::StatusCode::kDataLoss), HasSubstr(kSecond));
}

TEST(CheckpointReaderTest, RefusesATensorThatItsShardLacks) {
  const TestFolder folder;
  WriteTensors(folder, {{"a", {.shape = {2}}}});
  WriteIndex(folder, R"({"a": "model.safetensors", "b": "model.safetensors"})");
  EXPECT_THAT(Fault(folder, absl::StatusCode::kDataLoss),
              AllOf(HasSubstr("\"b\""), HasSubstr("model.safetensors"), HasSubstr("missing")));
}

TEST(CheckpointReaderTest, RefusesATensorThatTheIndexLacks) {
  const TestFolder folder;
  WriteTensors(folder, {{"a", {.shape = {2}}}, {"b", {.shape = {2}}}});
  WriteIndex(folder, R"({"a": "model.safetensors"})");
  EXPECT_THAT(Fault(folder, absl::StatusCode::kDataLoss),
              AllOf(HasSubstr("\"b\""), HasSubstr("does not name")));
}

TEST(CheckpointReaderTest, RefusesATensorInAnotherShardThanTheIndexSays) {
  const TestFolder folder;
  WriteTensors(folder, TwoShards());
  WriteIndex(folder, std::string(R"({"a": ")") + kSecond + R"(", "b": ")" + kFirst + R"(", "c": ")" +
                         kSecond + "\"}");
  EXPECT_THAT(Fault(folder, absl::StatusCode::kDataLoss), HasSubstr("says is in"));
}

TEST(CheckpointReaderTest, RefusesATensorInTwoShards) {
  const TestFolder folder;
  WriteTensors(folder, TwoShards());
  WriteTensors(folder, {{"a", {.shape = {2, 3}, .file = kSecond}}});
  WriteIndex(folder, std::string(R"({"a": ")") + kFirst + R"(", "b": ")" + kSecond + "\"}");
  EXPECT_THAT(Fault(folder, absl::StatusCode::kDataLoss), AllOf(HasSubstr("\"a\""), HasSubstr("says is in")));
}

TEST(CheckpointReaderTest, RefusesFileNamesThatLeaveTheFolder) {
  const TestFolder folder;
  WriteTensors(folder, {{"a", {.shape = {2}}}});
  for (const char* name :
       {"../model.safetensors", "/etc/passwd", "x/model.safetensors", "..", ".", "", "a\\u0000b"}) {
    WriteIndex(folder, std::string("{\"a\": \"") + name + "\"}");
    EXPECT_THAT(Fault(folder, absl::StatusCode::kInvalidArgument), HasSubstr("not a plain file name"))
        << name;
  }
}

TEST(CheckpointReaderTest, RefusesIndexesThatAreNone) {
  const TestFolder folder;
  WriteTensors(folder, {{"a", {.shape = {2}}}});
  for (const std::string& text :
       {std::string(""), std::string("{"), std::string("[]"), std::string("7"), std::string("{}"),
        std::string(R"({"weight_map": []})"), std::string(R"({"weight_map": 7})"),
        std::string(R"({"weight_map": {"a": 7}})"), std::string(R"({"weight_map": {"a": {}}})"),
        std::string(R"({"weight_map": {"a": ["model.safetensors"]}})"),
        std::string(R"({"weight_map": {"a": "model.safetensors", "a": "model.safetensors"}})"),
        std::string(R"({"weight_map": {}, "weight_map": {"a": "model.safetensors"}})"),
        std::string("{\"weight_map\": {\"\xff\": \"x\"}}"), std::string(1'000'000, '['),
        "{\"metadata\": " + std::string(1'000'000, '[')}) {
    WriteBytes(folder / kIndexFileName, text);
    EXPECT_THAT(Fault(folder, absl::StatusCode::kDataLoss), HasSubstr(kIndexFileName));
  }
}

TEST(CheckpointReaderTest, ThirtyThousandTensorsInTheIndex) {
  const TestFolder folder;
  TestTensors tensors;
  for (int i = 0; i < 30'000; ++i)
    tensors["tensor" + std::to_string(i)] = {.dtype = DType::kU8, .shape = {1}};
  WriteTensors(folder, tensors, /*with_index=*/true);
  const auto reader = CheckpointReader::Open(folder.path());
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->tensor_count(), 30'000);
}

}  // namespace
}  // namespace deeprack::checkpoint
