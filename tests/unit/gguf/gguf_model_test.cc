// GGUF models in several files.
#include "model/gguf/gguf_model.h"

#include <filesystem>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/gguf/gguf_bytes.h"

namespace deeprack::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0;

class GgufModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/gguf_XXXXXX";
    folder_ = mkdtemp(pattern.data());
    for (int i = 0; i < 3; ++i) Part(i).Write(PathOf(i));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string PathOf(int index) const {
    return absl::StrFormat("%s/m-%05d-of-%05d.gguf", folder_, index + 1, 3);
  }

  static GgufBytes WithSplitKeys(uint16_t number, uint16_t count, int32_t tensors) {
    GgufBytes file;
    file.Key("split.no", Typed(GgufType::kUint16, Raw(number)))
        .Key("split.count", Typed(GgufType::kUint16, Raw(count)))
        .Key("split.tensors.count", Typed(GgufType::kInt32, Raw(tensors)));
    return file;
  }

  // The first file has metadata and no tensors, as with llama.cpp's --no-tensor-first-split.
  static GgufBytes Part(int index) {
    GgufBytes file = WithSplitKeys(static_cast<uint16_t>(index), 3, 3);
    if (index == 0) file.Key("general.architecture", Typed("llama"));
    if (index == 1) file.Tensor("a", {1}, kF32, "aaaa").Tensor("b", {2}, kF32, "bbbbbbbb");
    if (index == 2) file.Tensor("c", {1}, kF32, "cccc");
    return file;
  }

  std::string Fault(const std::string& path, absl::StatusCode code = absl::StatusCode::kDataLoss) {
    const auto model = GgufModel::Open(path);
    EXPECT_EQ(model.status().code(), code) << model.status();
    return std::string(model.status().message());
  }

  std::string folder_;
};

char FirstByte(const GgufModel& model, const char* name) {
  return std::to_integer<char>(model.BytesOfTensor(*model.FindTensor(name))[0]);
}

TEST_F(GgufModelTest, AllFilesAreOneModel) {
  auto opened = GgufModel::Open(PathOf(0));
  ASSERT_TRUE(opened.ok()) << opened.status();
  const GgufModel model = std::move(*opened);
  EXPECT_EQ(model.Find("general.architecture")->String(), "llama");
  EXPECT_EQ(model.Find("absent"), nullptr);
  EXPECT_EQ(model.tensors().size(), 3u);
  EXPECT_EQ(FirstByte(model, "a"), 'a');
  EXPECT_EQ(FirstByte(model, "b"), 'b');
  EXPECT_EQ(FirstByte(model, "c"), 'c');
  EXPECT_EQ(model.BytesOfTensor(*model.FindTensor("b")).size(), 8u);
  EXPECT_EQ(model.FileOf(*model.FindTensor("b")), PathOf(1));
  EXPECT_EQ(model.FileOf(*model.FindTensor("c")), PathOf(2));
  EXPECT_EQ(model.FindTensor("d"), nullptr);
  const GgufTensor& c = *model.FindTensor("c");
  model.Prefetch(c, model.BytesOfTensor(c));
}

TEST_F(GgufModelTest, ASplitOfOneIsAFileOfAnyName) {
  GgufBytes file = WithSplitKeys(0, 1, 1);
  file.Tensor("a", {1}, kF32, "aaaa");
  file.Write(folder_ + "/any.gguf");
  EXPECT_TRUE(GgufModel::Open(folder_ + "/any.gguf").ok());
}

TEST_F(GgufModelTest, AsksForTheFirstFile) {
  EXPECT_THAT(Fault(PathOf(1), absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("file 2 of 3"), HasSubstr("give the first file: " + PathOf(0))));
}

TEST_F(GgufModelTest, FilesMustKeepTheirNames) {
  std::filesystem::rename(PathOf(0), folder_ + "/renamed.gguf");
  EXPECT_THAT(Fault(folder_ + "/renamed.gguf", absl::StatusCode::kInvalidArgument),
              HasSubstr("must keep their names: NAME-00001-of-00003.gguf"));
}

TEST_F(GgufModelTest, AMissingFileIsNamed) {
  std::filesystem::remove(PathOf(2));
  EXPECT_THAT(Fault(PathOf(0)), AllOf(HasSubstr(PathOf(2)), HasSubstr("missing, it is file 3 of 3")));
}

TEST_F(GgufModelTest, ADamagedFileIsNamed) {
  std::filesystem::resize_file(PathOf(2), 50);
  EXPECT_THAT(Fault(PathOf(0)), HasSubstr(PathOf(2)));
}

TEST_F(GgufModelTest, FilesOfOtherSplitsAreRefused) {
  Part(1).Write(PathOf(2));
  EXPECT_THAT(Fault(PathOf(0)), HasSubstr("says that it is file 2 of 3, expected 3 of 3"));
  WithSplitKeys(2, 4, 3).Write(PathOf(2));
  EXPECT_THAT(Fault(PathOf(0)), HasSubstr("says that it is file 3 of 4"));
  GgufBytes().Tensor("c", {1}, kF32, "cccc").Write(PathOf(2));
  EXPECT_THAT(Fault(PathOf(0)), AllOf(HasSubstr(PathOf(2)), HasSubstr("split.count"), HasSubstr("missing")));
}

TEST_F(GgufModelTest, TensorsAreThereOnceAndAllOfThem) {
  WithSplitKeys(2, 3, 3).Tensor("a", {1}, kF32, "cccc").Write(PathOf(2));
  EXPECT_THAT(Fault(PathOf(0)), AllOf(HasSubstr("\"a\" is also in " + PathOf(1)), HasSubstr(PathOf(2))));
  WithSplitKeys(2, 3, 3).Write(PathOf(2));
  EXPECT_THAT(Fault(PathOf(0)), HasSubstr("have 2 tensors, but split.tensors.count says 3"));
}

TEST_F(GgufModelTest, CountsOfHostileFilesAreBounded) {
  GgufBytes file;
  file.Key("split.no", Typed(uint32_t{0}))
      .Key("split.count", Typed(uint32_t{4'000'000'000}))
      .Key("split.tensors.count", Typed(uint32_t{0}));
  file.Write(PathOf(0));
  EXPECT_THAT(Fault(PathOf(0)), HasSubstr("split.count 4000000000"));
  GgufBytes text;
  text.Key("split.count", Typed("three"));
  text.Write(PathOf(0));
  EXPECT_THAT(Fault(PathOf(0)), HasSubstr("split.count must be an integer"));
}

}  // namespace
}  // namespace deeprack::model
