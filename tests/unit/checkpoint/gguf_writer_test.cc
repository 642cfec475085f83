#include "checkpoint/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/block_formats.h"
#include "model/gguf/gguf_header.h"
#include "model/gguf/gguf_model.h"
#include "tests/unit/checkpoint/checkpoint_files.h"

namespace deeprack::checkpoint {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

GgufMetadata SomeMetadata() {
  GgufMetadata metadata;
  metadata.AddUint32("a.number", 7);
  metadata.AddFloat32("a.float", 1e-6f);
  metadata.AddBool("a.flag", true);
  metadata.AddString("a.text", "<｜User｜>");
  metadata.AddStrings("a.texts", std::vector<std::string>{"one", "", "three"});
  metadata.AddInt32s("a.integers", std::vector<int32_t>{-1, 2});
  return metadata;
}

const std::vector<GgufTensorRecord> kTensors = {
    {.name = "odd",
     .dtype = DType::kF16,
     .shape = {3}},  // 6 bytes: 26 bytes of padding before the next tensor
    {.name = "blocks", .dtype = DType::kQ4K, .shape = {2, 3, 512}},
    {.name = "last", .dtype = DType::kF32, .shape = {5}}};

std::string BytesFor(const GgufTensorRecord& tensor, char first) {
  std::string bytes(static_cast<size_t>(BytesOf(tensor)), '\0');
  for (char& byte : bytes) byte = first++;
  return bytes;
}

TEST(GgufWriter, TheReaderFindsWhatWasWritten) {
  const TestFolder folder;
  const std::string path = folder / "model.gguf";
  auto writer = CreateGguf(path, SomeMetadata(), kTensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<std::string> data;
  for (size_t i = 0; i < kTensors.size(); ++i) {
    data.push_back(BytesFor(kTensors[i], static_cast<char>(i * 50)));
    ASSERT_TRUE((*writer)->Write(i, 0, AsBytes(data.back())).ok());
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << "not before Commit";
  ASSERT_TRUE((*writer)->Commit().ok());
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path)), (*writer)->file_bytes());

  const auto model = model::GgufModel::Open(path);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->Find("a.number")->Integer(), 7);
  EXPECT_EQ(model->Find("a.float")->Number(), 1e-6);
  EXPECT_EQ(model->Find("a.flag")->Bool(), true);
  EXPECT_EQ(model->Find("a.text")->String(), "<｜User｜>");
  EXPECT_THAT(*model->Find("a.texts")->Strings(), ElementsAre("one", "", "three"));
  EXPECT_THAT(*model->Find("a.integers")->Integers(), ElementsAre(-1, 2));
  ASSERT_EQ(model->tensors().size(), kTensors.size());
  for (size_t i = 0; i < kTensors.size(); ++i) {
    const model::GgufTensor* tensor = model->FindTensor(kTensors[i].name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->dtype, kTensors[i].dtype);
    EXPECT_EQ(tensor->shape, kTensors[i].shape);
    EXPECT_EQ(tensor->begin % kGgufAlignment, 0);
    const auto stored = model->BytesOfTensor(*tensor);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(stored.data()), stored.size()), data[i]);
  }
}

TEST(GgufWriter, CopiesTheEntriesOfAnotherFile) {
  const TestFolder folder;
  WriteBytes(folder / "first.gguf", GgufHeaderBytes(SomeMetadata(), {}));
  const auto first = model::GgufModel::Open(folder / "first.gguf");
  ASSERT_TRUE(first.ok()) << first.status();
  GgufMetadata copied;
  for (const char* key : {"a.number", "a.float", "a.flag", "a.text", "a.texts", "a.integers"}) {
    copied.AddValue(key, *first->Find(key));
  }
  EXPECT_EQ(copied.bytes(), SomeMetadata().bytes());
  EXPECT_EQ(copied.count(), 6);
}

TEST(GgufWriter, TakesPiecesInAnyOrderFromSeveralThreads) {
  const TestFolder folder;
  const std::vector<GgufTensorRecord> tensors = {{.name = "t", .dtype = DType::kF32, .shape = {1024}}};
  auto writer = CreateGguf(folder / "model.gguf", {}, tensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::string bytes = BytesFor(tensors[0], 0);
  std::vector<std::thread> threads;
  for (int64_t piece = 3; piece >= 0; --piece) {
    threads.emplace_back([&, piece] {
      EXPECT_TRUE((*writer)->Write(0, piece * 1024, AsBytes(bytes).subspan(piece * 1024, 1024)).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE((*writer)->Commit().ok());
  EXPECT_EQ(ReadBytes(folder / "model.gguf"), GgufHeaderBytes({}, tensors) + bytes);
}

TEST(GgufWriter, LeavesNothingBehindWithoutCommitAndKeepsTheFormerFile) {
  const TestFolder folder;
  WriteBytes(folder / "model.gguf", "former");
  {
    auto writer = CreateGguf(folder / "model.gguf", {}, kTensors);
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE(std::filesystem::exists(folder / "model.gguf.partial"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "model.gguf.partial"));
  EXPECT_EQ(ReadBytes(folder / "model.gguf"), "former");
}

TEST(GgufWriter, SaysWhyItCannotWrite) {
  const TestFolder folder;
  const auto nowhere = CreateGguf(folder / "nowhere/model.gguf", {}, kTensors);
  EXPECT_TRUE(absl::IsUnavailable(nowhere.status()));
  EXPECT_THAT(nowhere.status().message(), HasSubstr("nowhere/model.gguf: cannot write: No such file"));
  // An exabyte.
  const std::vector<GgufTensorRecord> huge = {
      {.name = "t", .dtype = DType::kF32, .shape = {int64_t{1} << 20, int64_t{1} << 38}}};
  const auto no_room = CreateGguf(folder / "model.gguf", {}, huge);
  EXPECT_TRUE(absl::IsUnavailable(no_room.status()));
  EXPECT_THAT(no_room.status().message(), HasSubstr("make room"));
  EXPECT_FALSE(std::filesystem::exists(folder / "model.gguf.partial"));
}

TEST(GgufWriterDeathTest, AnUnfinishedFileIsNotCommitted) {
  const TestFolder folder;
  auto writer = CreateGguf(folder / "model.gguf", {}, kTensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_DEATH((void)(*writer)->Commit(), "check failed");
}

}  // namespace
}  // namespace deeprack::checkpoint
