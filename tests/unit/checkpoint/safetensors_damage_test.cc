// Damaged and hostile safetensors files: each gives an error that says what is wrong, and no other harm.
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checkpoint/safetensors_file.h"
#include "checkpoint/safetensors_header.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/checkpoint/checkpoint_files.h"

namespace deeprack::checkpoint {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kGoodHeader[] =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
    R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]}})";
const std::string kGoodData(24, 'd');

absl::Status OpenStatus(const std::string& bytes) {
  const TestFolder folder;
  WriteBytes(folder / "file.safetensors", bytes);
  return SafetensorsFile::Open(folder / "file.safetensors").status();
}

std::string Fault(const std::string& header, const std::string& data) {
  const absl::Status status = OpenStatus(FileOf(header, data));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << header;
  EXPECT_THAT(std::string(status.message()), HasSubstr("file.safetensors"));
  EXPECT_LT(status.message().size(), 600u);
  return std::string(status.message());
}

std::string Tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return absl::StrCat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape,
                      ",\"data_offsets\":", offsets, "}");
}

TEST(SafetensorsDamageTest, TheGoodFileIsGood) {
  EXPECT_TRUE(OpenStatus(FileOf(kGoodHeader, kGoodData)).ok());
}

TEST(SafetensorsDamageTest, TruncatedAnywhere) {
  const std::string good = FileOf(kGoodHeader, kGoodData);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(OpenStatus(good.substr(0, size)).code(), absl::StatusCode::kDataLoss) << size;
  }
  EXPECT_THAT(std::string(OpenStatus(good + "x").message()),
              HasSubstr("end at data byte 24, but the file has 25 data bytes"));
}

// One flipped bit in the length or the header gives an error, or a file whose tensors are all inside its data
// (for example with another letter in a name).
TEST(SafetensorsDamageTest, EveryBitOfTheHeaderFlipped) {
  const std::string good = FileOf(kGoodHeader, kGoodData);
  const size_t header_end = good.size() - kGoodData.size();
  int accepted = 0;
  for (size_t bit = 0; bit < header_end * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    const auto header = ParseSafetensorsHeader(AsBytes(bytes), "file");
    if (!header.ok()) {
      EXPECT_EQ(header.status().code(), absl::StatusCode::kDataLoss);
      continue;
    }
    ++accepted;
    int64_t covered = 0;
    for (const HeaderEntry& tensor : header->tensors) {
      EXPECT_EQ(tensor.begin, covered);
      int64_t bytes_by_shape = static_cast<int64_t>(SizeOf(tensor.dtype));
      for (int64_t dimension : tensor.shape) bytes_by_shape *= dimension;
      EXPECT_EQ(tensor.end - tensor.begin, bytes_by_shape);
      covered = tensor.end;
    }
    EXPECT_EQ(header->data_begin + covered, static_cast<int64_t>(bytes.size()));
  }
  // Accepted are flips in letters of names and metadata, in dtypes that differ in one bit (BF16 and F16
  // differ in more), and in shapes: far less than a tenth of all bits.
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, static_cast<int>(header_end * 8 / 10));
}

// Two flips at once, drawn with a fixed seed. Under the sanitizers this finds a wrong bound.
TEST(SafetensorsDamageTest, RandomBytesInTheHeader) {
  const std::string good = FileOf(kGoodHeader, kGoodData);
  uint64_t state = 42;
  const auto draw = [&state] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33);
  };
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (int flip = 0; flip < 3; ++flip) bytes[8 + draw() % (good.size() - 32)] = static_cast<char>(draw());
    const auto header = ParseSafetensorsHeader(AsBytes(bytes), "file");
    if (!header.ok()) continue;
    for (const HeaderEntry& tensor : header->tensors) EXPECT_LE(tensor.end, 24);
  }
}

TEST(SafetensorsDamageTest, HeaderLengths) {
  std::string bytes = FileOf(kGoodHeader, kGoodData);
  const auto with_length = [&](uint64_t length) {
    std::memcpy(bytes.data(), &length, 8);
    return std::string(OpenStatus(bytes).message());
  };
  EXPECT_THAT(with_length(UINT64_MAX), HasSubstr("more than the format's 100000000"));
  EXPECT_THAT(with_length(100'000'001), HasSubstr("more than the format's"));
  EXPECT_THAT(with_length(100'000'000), HasSubstr("does not fit in the file's"));
  EXPECT_THAT(with_length(0), HasSubstr("does not begin with '{'"));
  EXPECT_THAT(std::string(OpenStatus("").message()), HasSubstr("0 bytes are too few"));
}

TEST(SafetensorsDamageTest, OffsetsOutOfPlace) {
  const std::string data(16, 'd');
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[4]", "[0,16]") + "}", data.substr(1)),
              HasSubstr("past the end"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[2]", "[16,24]") + "}", data), HasSubstr("past the end"));
  EXPECT_THAT(
      Fault("{" + Tensor("a", "F32", "[2]", "[0,8]") + "," + Tensor("b", "F32", "[3]", "[4,16]") + "}", data),
      AllOf(HasSubstr("\"b\""), HasSubstr("overlaps \"a\"")));
  EXPECT_THAT(
      Fault("{" + Tensor("a", "F32", "[4]", "[0,16]") + "," + Tensor("b", "F32", "[4]", "[0,16]") + "}",
            data),
      HasSubstr("overlaps"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[2]", "[8,16]") + "}", data), HasSubstr("gap"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[2]", "[0,8]") + "}", data), HasSubstr("end at data byte 8"));
  EXPECT_THAT(Fault("{}", data), HasSubstr("end at data byte 0"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[4]", "[16,0]") + "}", data), HasSubstr("begin <= end"));
}

TEST(SafetensorsDamageTest, ShapesThatDoNotFit) {
  const std::string data(16, 'd');
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[5]", "[0,16]") + "}", data), HasSubstr("takes 20 bytes"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[4294967296,4294967296]", "[0,16]") + "}", data),
              HasSubstr("overflows"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[4611686018427387904]", "[0,16]") + "}", data),
              HasSubstr("overflows"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[18446744073709551615]", "[0,16]") + "}", data),
              HasSubstr("too large"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[1e30]", "[0,16]") + "}", data),
              HasSubstr("not a 64-bit integer"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[99999999999999999999]", "[0,16]") + "}", data),
              HasSubstr("integer"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[-4]", "[0,16]") + "}", data), HasSubstr("negative"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[4.0]", "[0,16]") + "}", data), HasSubstr("integer"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]") + "}", data),
              HasSubstr("dimensions"));
}

TEST(SafetensorsDamageTest, FieldsThatAreWrong) {
  const std::string data(16, 'd');
  EXPECT_THAT(Fault("{" + Tensor("a", "F65", "[2]", "[0,16]") + "}", data),
              AllOf(HasSubstr("\"a\""), HasSubstr("\"F65\" is none of the format's")));
  EXPECT_THAT(Fault("{" + Tensor("a", "F4", "[32]", "[0,8]") + "}", data), HasSubstr("end at data byte 8"));
  EXPECT_THAT(Fault(R"({"a":{"dtype":"F32","shape":[4]}})", data), HasSubstr("all required"));
  EXPECT_THAT(Fault(R"({"a":{"dtype":"F32","data_offsets":[0,16]}})", data), HasSubstr("all required"));
  EXPECT_THAT(Fault(R"({"a":{"shape":[4],"data_offsets":[0,16]}})", data), HasSubstr("all required"));
  EXPECT_THAT(Fault(R"({"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}})", data),
              HasSubstr("field dtype occurs twice"));
  EXPECT_THAT(Fault(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":[]}})", data),
              HasSubstr("unknown field"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[4]", "[0]") + "}", data), HasSubstr("data_offsets"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[4]", "[0,8,16]") + "}", data), HasSubstr("data_offsets"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "4", "[0,16]") + "}", data), HasSubstr("a number"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[[4]]", "[0,16]") + "}", data), HasSubstr("an array"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "null", "[0,16]") + "}", data), HasSubstr("null"));
  EXPECT_THAT(Fault("{" + Tensor("a", "F32", "[\"4\"]", "[0,16]") + "}", data), HasSubstr("a string"));
  EXPECT_THAT(Fault(R"({"a":{"dtype":{},"shape":[4],"data_offsets":[0,16]}})", data), HasSubstr("an object"));
  EXPECT_THAT(Fault(R"({"a":7})", data), HasSubstr("a number"));
  EXPECT_THAT(Fault(R"({"__metadata__":{"x":7}})", ""), HasSubstr("a number"));
  EXPECT_THAT(Fault(R"({"__metadata__":"x"})", ""), HasSubstr("a string"));
  EXPECT_THAT(Fault(R"({"__metadata__":{"x":"1","x":"2"}})", ""), HasSubstr("twice"));
}

TEST(SafetensorsDamageTest, TheSameTensorTwice) {
  const std::string a = Tensor("a", "F32", "[2]", "[0,8]");
  EXPECT_THAT(Fault("{" + a + "," + Tensor("a", "F32", "[2]", "[8,16]") + "}", std::string(16, 'd')),
              HasSubstr("\"a\" occurs twice"));
}

TEST(SafetensorsDamageTest, HeadersThatAreNoJsonObject) {
  for (const std::string header :
       {"[]", " {}", "{", "{}}", "{\"a\"", "\"x\"", "null", "{\"\xff\xfe\":{}}", "{,}"}) {
    EXPECT_THAT(Fault(header, ""), AnyOf(HasSubstr("not valid JSON"), HasSubstr("does not begin with '{'")));
  }
  EXPECT_THAT(Fault("{\"a\":" + std::string(1'000'000, '['), ""), HasSubstr("an array"));
  EXPECT_THAT(Fault("{\"__metadata__\":" + std::string(1'000'000, '{'), ""), HasSubstr("not valid JSON"));
}

TEST(SafetensorsDamageTest, NamesOfAnyKindStayReadableInMessages) {
  const std::string name = "a\\n\\u0000\\u001b" + std::string(100'000, 'x');
  const std::string fault = Fault("{" + Tensor(name, "F32", "[4]", "[0,15]") + "}", std::string(15, 'd'));
  EXPECT_EQ(fault.find('\n'), std::string::npos);
  EXPECT_EQ(fault.find('\x1b'), std::string::npos);
}

// R1 in one file would have 92 thousand tensors. A header with a million tensors is refused as soon as it
// exceeds the limit.
TEST(SafetensorsDamageTest, ManyTensorsAreReadAndAMillionRefused) {
  const auto header_of = [](int tensors) {
    std::string header = "{";
    for (int i = 0; i < tensors; ++i) {
      header += absl::StrCat(i == 0 ? "" : ",", Tensor(absl::StrCat(i), "U8", "[0]", "[0,0]"));
    }
    return header + "}";
  };
  const auto many = ParseSafetensorsHeader(AsBytes(FileOf(header_of(100'000), "")), "file");
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_EQ(many->tensors.size(), 100'000u);

  const auto million = ParseSafetensorsHeader(AsBytes(FileOf(header_of(1'000'000), "")), "file");
  EXPECT_EQ(million.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(million.status().message()), HasSubstr("more than 262144 tensors"));
}

}  // namespace
}  // namespace deeprack::checkpoint
