#include "model/gguf/gguf_header.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/gguf/gguf_bytes.h"

namespace deeprack::model {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ4K = 12;
constexpr uint32_t kIq4Xs = 23;

// The message of the file's error, whose code must be `code`.
std::string Fault(const std::string& bytes, absl::StatusCode code = absl::StatusCode::kDataLoss) {
  const auto header = ParseGgufHeader(AsBytes(bytes), "dir/x.gguf");
  EXPECT_EQ(header.status().code(), code) << header.status();
  EXPECT_THAT(std::string(header.status().message()), HasSubstr("dir/x.gguf: "));
  return std::string(header.status().message());
}

std::string Fault(const GgufBytes& file, absl::StatusCode code = absl::StatusCode::kDataLoss) {
  return Fault(file.Bytes(), code);
}

GgufBytes Sound() {
  GgufBytes file;
  file.Key("general.architecture", Typed("llama")).Key("llama.block_count", Typed(uint32_t{2}));
  file.Tensor("a", {4, 3}, kF32, std::string(48, 'a'));
  file.Tensor("b", {256, 2, 5}, kQ4K, std::string(1440, 'b'));
  return file;
}

TEST(GgufHeaderTest, ReadsVersions2And3) {
  for (const uint32_t version : {2, 3}) {
    GgufBytes file = Sound();
    file.version = version;
    const std::string bytes = file.Bytes();
    const auto header = ParseGgufHeader(AsBytes(bytes), "x");
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->version, version);
    EXPECT_EQ(header->metadata.at("general.architecture").String(), "llama");
    EXPECT_EQ(header->metadata.at("llama.block_count").Integer(), 2);
    ASSERT_EQ(header->tensors.size(), 2u);
    EXPECT_THAT(header->tensors[0].shape, ElementsAre(3, 4));
    EXPECT_EQ(header->tensors[0].begin, header->data_begin);
    EXPECT_THAT(header->tensors[1].shape, ElementsAre(5, 2, 256));
    EXPECT_EQ(header->tensors[1].dtype, DType::kQ4K);
    EXPECT_EQ(header->tensors[1].bytes, 1440);
    EXPECT_EQ(bytes[static_cast<size_t>(header->tensors[1].begin)], 'b');
  }
}

TEST(GgufHeaderTest, ReadsEveryKindOfValue) {
  GgufBytes file;
  file.Key("u8", Typed(GgufType::kUint8, Raw<uint8_t>(200)))
      .Key("i8", Typed(GgufType::kInt8, Raw<int8_t>(-3)))
      .Key("u16", Typed(GgufType::kUint16, Raw<uint16_t>(60000)))
      .Key("i16", Typed(GgufType::kInt16, Raw<int16_t>(-3)))
      .Key("i32", Typed(GgufType::kInt32, Raw<int32_t>(-3)))
      .Key("u64", Typed(GgufType::kUint64, Raw<uint64_t>(1ull << 40)))
      .Key("i64", Typed(GgufType::kInt64, Raw<int64_t>(-1)))
      .Key("huge", Typed(GgufType::kUint64, Raw<uint64_t>(std::numeric_limits<uint64_t>::max())))
      .Key("f32", Typed(1e-6f))
      .Key("f64", Typed(GgufType::kFloat64, Raw(0.1)))
      .Key("true", Typed(true))
      .Key("strings", TypedStrings({"ab", "", "c"}))
      .Key("integers", TypedIntegers<int32_t>({1, -2}))
      .Key("none", TypedIntegers<int32_t>({}))
      .Key("nested", TypedArray(GgufType::kArray, 1,
                                Raw(static_cast<uint32_t>(GgufType::kUint8)) + Raw<uint64_t>(2) + "xy"));
  const std::string bytes = file.Bytes();
  const auto header = ParseGgufHeader(AsBytes(bytes), "x");
  ASSERT_TRUE(header.ok()) << header.status();
  const auto value = [&](const char* key) { return header->metadata.at(key); };
  EXPECT_EQ(value("u8").Integer(), 200);
  EXPECT_EQ(value("i8").Integer(), -3);
  EXPECT_EQ(value("u16").Integer(), 60000);
  EXPECT_EQ(value("i16").Integer(), -3);
  EXPECT_EQ(value("i32").Integer(), -3);
  EXPECT_EQ(value("u64").Integer(), int64_t{1} << 40);
  EXPECT_EQ(value("i64").Number(), -1.0);
  EXPECT_FALSE(value("huge").Integer().has_value());
  EXPECT_EQ(value("f32").Number(), 1e-6);
  EXPECT_FALSE(value("f32").Integer().has_value());
  EXPECT_EQ(value("f64").Number(), 0.1);
  EXPECT_EQ(value("true").Bool(), true);
  EXPECT_FALSE(value("true").Integer().has_value());
  EXPECT_THAT(value("strings").Strings().value(), ElementsAre("ab", "", "c"));
  EXPECT_FALSE(value("strings").String().has_value());
  EXPECT_THAT(value("integers").Integers().value(), ElementsAre(1, -2));
  EXPECT_FALSE(value("integers").Strings().has_value());
  EXPECT_TRUE(value("none").Integers().value().empty());
  EXPECT_FALSE(header->metadata.contains("nested"));
}

TEST(GgufHeaderTest, AlignmentIsTheFilesOwn) {
  GgufBytes file;
  file.alignment = 128;
  file.Key("general.alignment", Typed(uint32_t{128}));
  file.Tensor("a", {1}, kF32, "aaaa").Tensor("b", {1}, kF32, "bbbb");
  const std::string bytes = file.Bytes();
  const auto header = ParseGgufHeader(AsBytes(bytes), "x");
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->alignment, 128);
  EXPECT_EQ(header->tensors[1].begin % 128, 0);
  for (const uint32_t wrong : {0u, 3u, 1u << 30}) {
    GgufBytes other;
    other.Key("general.alignment", Typed(wrong));
    EXPECT_THAT(Fault(other), AllOf(HasSubstr("general.alignment"), HasSubstr("power of two")));
  }
  EXPECT_THAT(Fault(GgufBytes().Key("general.alignment", Typed("32"))), HasSubstr("no integer"));
}

TEST(GgufHeaderTest, RefusesWhatIsNoGguf) {
  EXPECT_THAT(Fault(""), HasSubstr("GGUF"));
  EXPECT_THAT(Fault("GGU"), HasSubstr("GGUF"));
  GgufBytes file = Sound();
  file.magic = "ggjt";
  EXPECT_THAT(Fault(file), HasSubstr("\"ggjt\""));
  EXPECT_THAT(Fault("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("git lfs pull"));
}

TEST(GgufHeaderTest, NamesVersionsThatAreNotRead) {
  GgufBytes file = Sound();
  for (const uint32_t version : {0u, 1u, 4u}) {
    file.version = version;
    EXPECT_THAT(Fault(file, absl::StatusCode::kInvalidArgument), HasSubstr("versions 2 and 3"));
  }
  file.version = 0x03000000;
  EXPECT_THAT(Fault(file, absl::StatusCode::kInvalidArgument), HasSubstr("big-endian"));
}

TEST(GgufHeaderTest, EveryCutIsFound) {
  const std::string whole = Sound().Bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(
        Fault(whole.substr(0, size)),
        AnyOf(HasSubstr("not with \"GGUF\""), HasSubstr("the file ends"), HasSubstr("are left"),
              HasSubstr("metadata entries, but"), HasSubstr("ends at byte"), HasSubstr("does not fit")))
        << size;
  }
}

TEST(GgufHeaderTest, CountsAreHeldAgainstTheFile) {
  GgufBytes file = Sound();
  file.claimed_keys = 1'000'000;
  EXPECT_THAT(Fault(file), HasSubstr("1000000 metadata entries"));
  file.claimed_keys = 40'000;
  EXPECT_THAT(Fault(file), HasSubstr("40000 metadata entries, but 1672 bytes are left"));
  file = Sound();
  file.claimed_tensors = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(Fault(file), HasSubstr("9223372036854775807 tensors"));
  file.claimed_tensors = 100'000;
  EXPECT_THAT(Fault(file), HasSubstr("100000 tensors"));
  file.claimed_tensors = 3;
  Fault(file);
}

TEST(GgufHeaderTest, AMillionKeysAreRefused) {
  GgufBytes file;
  for (int i = 0; i < 1'000'000; ++i) file.Key(std::to_string(i), Typed(true));
  EXPECT_THAT(Fault(file), HasSubstr("at most"));
}

TEST(GgufHeaderTest, LengthsAreHeldAgainstTheFile) {
  GgufBytes file;
  file.keys = Raw(std::numeric_limits<uint64_t>::max()) + "name" + Typed(true);
  file.key_count = 1;
  EXPECT_THAT(Fault(file), AllOf(HasSubstr("metadata key 0"), HasSubstr("18446744073709551615 bytes")));
  file = GgufBytes().Key("text", Typed(GgufType::kString, Raw<uint64_t>(1 << 20) + "abc"));
  EXPECT_THAT(Fault(file), AllOf(HasSubstr("\"text\""), HasSubstr("1048576 bytes")));
  file = GgufBytes().Key(std::string(70'000, 'k'), Typed(true));
  EXPECT_THAT(Fault(file), HasSubstr("at most 65535"));
  file = GgufBytes();
  file.Tensor(std::string(65, 't'), {1}, kF32, "aaaa");
  EXPECT_THAT(Fault(file), HasSubstr("at most 64"));
  for (const auto element : {GgufType::kUint8, GgufType::kFloat64, GgufType::kString, GgufType::kArray}) {
    for (const uint64_t count : {uint64_t{1'000}, uint64_t{1} << 61, std::numeric_limits<uint64_t>::max()}) {
      file = GgufBytes().Key("list", TypedArray(element, count, "0123456789"));
      EXPECT_THAT(Fault(file), AllOf(HasSubstr("\"list\""), HasSubstr("values")));
    }
  }
}

TEST(GgufHeaderTest, NestedArraysAreBounded) {
  const auto nested = [](int depth) {
    std::string bytes;
    for (int i = 0; i < depth; ++i) {
      bytes += Raw(static_cast<uint32_t>(GgufType::kArray)) + Raw<uint64_t>(1);
    }
    bytes += Raw(static_cast<uint32_t>(GgufType::kUint8)) + Raw<uint64_t>(1) + "x";
    return GgufBytes().Key("deep", Typed(GgufType::kArray, bytes));
  };
  const std::string bytes = nested(3).Bytes();
  EXPECT_TRUE(ParseGgufHeader(AsBytes(bytes), "x").ok());
  for (const int depth : {4, 5, 100'000}) EXPECT_THAT(Fault(nested(depth)), HasSubstr("nested"));
}

TEST(GgufHeaderTest, TypesAreKnown) {
  GgufBytes file = GgufBytes().Key("k", Raw<uint32_t>(13) + "xxxx");
  EXPECT_THAT(Fault(file), HasSubstr("unknown type 13"));
  file = GgufBytes().Key("k", Typed(GgufType::kArray, Raw<uint32_t>(99) + Raw<uint64_t>(1) + "x"));
  EXPECT_THAT(Fault(file), HasSubstr("unknown type 99"));
  file = GgufBytes();
  file.Record("t", {32}, 5, 0);
  EXPECT_THAT(Fault(file), AllOf(HasSubstr("\"t\""), HasSubstr("unknown type 5")));
  file = GgufBytes();
}

TEST(GgufHeaderTest, TensorsOfTypesThatAreNotReadReachToTheNext) {
  GgufBytes file;
  file.Tensor("a", {256}, kIq4Xs, std::string(136, 'a'));
  file.Tensor("b", {1}, kF32, "bbbb");
  file.Tensor("c", {256}, 139, std::string(64, 'c'));
  const std::string bytes = file.Bytes();
  const auto header = ParseGgufHeader(AsBytes(bytes), "x");
  ASSERT_TRUE(header.ok()) << header.status();
  ASSERT_EQ(header->tensors.size(), 3u);
  EXPECT_EQ(header->tensors[0].unread_type, "IQ4_XS");
  EXPECT_EQ(header->tensors[0].bytes, 160);  // with the padding to the alignment
  EXPECT_EQ(header->tensors[1].unread_type, "");
  EXPECT_EQ(header->tensors[2].unread_type, "139 (of ik_llama.cpp)");
  EXPECT_EQ(header->tensors[2].begin + header->tensors[2].bytes, static_cast<int64_t>(bytes.size()));

  file = GgufBytes();
  file.Record("t", {256}, kIq4Xs, 32);
  EXPECT_THAT(Fault(file), HasSubstr("\"t\""));
}

TEST(GgufHeaderTest, NamesAreThereOnce) {
  EXPECT_THAT(Fault(Sound().Key("llama.block_count", Typed(uint32_t{3}))),
              AllOf(HasSubstr("\"llama.block_count\""), HasSubstr("twice")));
  GgufBytes file = Sound();
  file.Tensor("a", {1}, kF32, "aaaa");
  EXPECT_THAT(Fault(file), AllOf(HasSubstr("\"a\""), HasSubstr("twice")));
  EXPECT_THAT(Fault(GgufBytes().Key("", Typed(true))), HasSubstr("empty"));
  file = GgufBytes();
  file.Tensor("", {1}, kF32, "aaaa");
  EXPECT_THAT(Fault(file), HasSubstr("no name"));
}

TEST(GgufHeaderTest, ShapesAreWholeBlocksAndFit) {
  const auto fault = [](const std::vector<int64_t>& dimensions, uint32_t type) {
    GgufBytes file;
    file.Record("t", dimensions, type, 0);
    file.data = std::string(64, 't');
    return Fault(file);
  };
  const int64_t huge = int64_t{1} << 40;
  EXPECT_THAT(fault({}, kF32), HasSubstr("0 dimensions"));
  EXPECT_THAT(fault({1, 1, 1, 1, 1}, kF32), HasSubstr("5 dimensions"));
  EXPECT_THAT(fault({0}, kF32), HasSubstr("dimension of 0"));
  EXPECT_THAT(fault({-1}, kF32), HasSubstr("dimension of -1"));
  EXPECT_THAT(fault({100, 256}, kQ4K), AllOf(HasSubstr("[256, 100]"), HasSubstr("blocks of 256")));
  EXPECT_THAT(fault({huge, huge}, kF32), HasSubstr("overflows"));
  EXPECT_THAT(fault({huge, int64_t{1} << 22}, kF32), HasSubstr("overflows"));
  EXPECT_THAT(fault({huge}, kF32), HasSubstr("does not fit"));
  EXPECT_THAT(fault({17}, kF32), HasSubstr("ends at byte"));
}

TEST(GgufHeaderTest, OffsetsAreAlignedInsideAndApart) {
  GgufBytes file;
  file.Record("t", {4}, kF32, 8);
  file.data = std::string(64, 't');
  EXPECT_THAT(Fault(file), AllOf(HasSubstr("data byte 8"), HasSubstr("alignment 32")));
  for (const uint64_t offset : {uint64_t{64}, uint64_t{1} << 40, std::numeric_limits<uint64_t>::max() - 31}) {
    file = GgufBytes();
    file.Record("t", {4}, kF32, offset);
    file.data = std::string(64, 't');
    EXPECT_THAT(Fault(file), HasSubstr("\"t\""));
  }
  file = GgufBytes();
  file.Record("t", {12}, kF32, 32).Record("u", {9}, kF32, 0);
  file.data = std::string(96, 't');
  EXPECT_THAT(Fault(file), AllOf(HasSubstr("\"t\""), HasSubstr("overlaps \"u\"")));
}

TEST(GgufHeaderTest, NamesInMessagesAreReadable) {
  GgufBytes file = Sound();
  file.Tensor("\xff\x01evil\n", {1}, 77, "aaaa");
  EXPECT_THAT(Fault(file), HasSubstr("\\n"));
}

}  // namespace
}  // namespace deeprack::model
