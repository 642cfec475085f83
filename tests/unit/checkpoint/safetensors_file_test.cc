#include "checkpoint/safetensors_file.h"

#include <sys/stat.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/safetensors_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/checkpoint/checkpoint_files.h"

namespace deeprack::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SafetensorsFileTest, ReadsWhatTheWriterWrote) {
  const TestFolder folder;
  const std::vector<float> floats = {1.5f, -2.0f, 3.25f, 0.0f, 5.0f, 6.0f};
  const std::string bytes = "abc";
  SafetensorsWriter writer;
  writer.Add("weight", DType::kF8E4M3, {3, 1}, AsBytes(bytes));
  writer.Add("scale", DType::kF32, {2, 3}, std::as_bytes(std::span(floats)));
  writer.Add("nothing", DType::kBF16, {0, 7}, {});
  writer.Add("scalar", DType::kF32, {}, std::as_bytes(std::span(floats).first(1)));
  writer.SetMetadata("format", "pt");
  ASSERT_TRUE(writer.Write(folder / "a.safetensors").ok());

  auto opened = SafetensorsFile::Open(folder / "a.safetensors");
  ASSERT_TRUE(opened.ok()) << opened.status();
  const SafetensorsFile file = std::move(*opened);  // views stay valid when the file moves
  EXPECT_EQ(file.names().size(), 4u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.Find("absent"), nullptr);

  const TensorView* scale = file.Find("scale");
  ASSERT_NE(scale, nullptr);
  EXPECT_EQ(scale->dtype, DType::kF32);
  EXPECT_THAT(scale->shape, ElementsAre(2, 3));
  ASSERT_EQ(scale->bytes.size(), 24u);
  EXPECT_EQ(std::memcmp(scale->bytes.data(), floats.data(), 24), 0);
  const TensorView* weight = file.Find("weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(std::memcmp(weight->bytes.data(), "abc", 3), 0);
  EXPECT_THAT(file.Find("nothing")->shape, ElementsAre(0, 7));
  EXPECT_THAT(file.Find("scalar")->shape, IsEmpty());
  for (const std::string& name : file.names()) {
    EXPECT_TRUE(file.Find(name)->aligned()) << name;
    file.Prefetch(*file.Find(name));
  }
}

// The bytes that Python's safetensors 0.8.0 writes for {"a": [1., 2.] in float32, "b": [3] in int64,
// "f": [1., -0.5, 448.] in float8_e4m3fn}.
TEST(SafetensorsFileTest, ReadsPythonsFiles) {
  const TestFolder folder;
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
      R"("f":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[16,19]}}  )";
  const std::string data("\x03\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40\x38\xb0\x7e", 19);
  WriteBytes(folder / "a", FileOf(header, data));
  const auto file = SafetensorsFile::Open(folder / "a");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->names(), ElementsAre("b", "a", "f"));
  float values[2];
  std::memcpy(values, file->Find("a")->bytes.data(), 8);
  EXPECT_THAT(values, ElementsAre(1.0f, 2.0f));
  const TensorView* fp8 = file->Find("f");
  EXPECT_EQ(fp8->dtype, DType::kF8E4M3);
  EXPECT_EQ(ToFloat(fp8_e4m3{std::to_integer<uint8_t>(fp8->bytes[1])}), -0.5f);
  EXPECT_EQ(ToFloat(fp8_e4m3{std::to_integer<uint8_t>(fp8->bytes[2])}), 448.0f);
}

// The format does not align tensors: here floats begin at an odd address.
TEST(SafetensorsFileTest, UnalignedTensorsAreReadThroughACopy) {
  const TestFolder folder;
  std::string header = R"({"byte":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("floats":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  const float values[2] = {0.5f, -7.0f};
  std::string data(9, 'x');
  std::memcpy(data.data() + 1, values, 8);
  for (int padding = 0; padding < 4; ++padding, header += ' ') {
    WriteBytes(folder / "a", FileOf(header, data));
    const auto file = SafetensorsFile::Open(folder / "a");
    ASSERT_TRUE(file.ok()) << file.status();
    const AlignedBytes aligned(*file->Find("floats"));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(aligned.data()) % alignof(float), 0u);
    EXPECT_EQ(static_cast<const float*>(aligned.data())[0], 0.5f);
    EXPECT_EQ(static_cast<const float*>(aligned.data())[1], -7.0f);
  }
}

TEST(SafetensorsFileTest, AFileWithoutTensorsIsOne) {
  const TestFolder folder;
  WriteBytes(folder / "a", FileOf("{}", ""));
  const auto file = SafetensorsFile::Open(folder / "a");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->names(), IsEmpty());
}

TEST(SafetensorsFileTest, RefusesWhatIsNoFile) {
  const TestFolder folder;
  EXPECT_EQ(SafetensorsFile::Open(folder / "absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::Open(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(SafetensorsFile::Open(folder / "pipe").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SafetensorsFileTest, SaysThatAnLfsPointerIsNotTheWeights) {
  const TestFolder folder;
  WriteBytes(folder / "a", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5234139343\n");
  EXPECT_THAT(std::string(SafetensorsFile::Open(folder / "a").status().message()), HasSubstr("git lfs pull"));
}

TEST(SafetensorsWriterTest, SaysWhenItCannotWrite) {
  const TestFolder folder;
  const absl::Status status = SafetensorsWriter().Write(folder / "absent/a");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("absent/a"));
}

TEST(SafetensorsWriterTest, ReplacesAFileAsAWhole) {
  const TestFolder folder;
  WriteBytes(folder / "a", "old");
  ASSERT_TRUE(SafetensorsWriter().Write(folder / "a").ok());
  EXPECT_TRUE(SafetensorsFile::Open(folder / "a").ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "a.partial"));
}

}  // namespace
}  // namespace deeprack::checkpoint
