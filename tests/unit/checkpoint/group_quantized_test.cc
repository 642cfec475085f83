// Reads weights of integers in groups, whole and in slices: the values are those of the layouts' definitions.
#include "checkpoint/group_quantized/group_quantized.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/checkpoint/group_files.h"

namespace deeprack::checkpoint {
namespace {

using model::GroupLayout;
using model::GroupQuantization;
using model::Slice;
using ::testing::AllOf;
using ::testing::HasSubstr;

GroupQuantization Awq() { return {.layout = GroupLayout::kAwq, .symmetric = false}; }
GroupQuantization Gptq() {
  return {.layout = GroupLayout::kGptq, .zero_minus_one = true, .symmetric = false};
}
GroupQuantization Packed() { return {.layout = GroupLayout::kPackQuantized}; }
GroupQuantization Int8() { return {.layout = GroupLayout::kIntQuantized}; }
GroupQuantization ActOrder(GroupQuantization quantization) {
  quantization.act_order = true;
  return quantization;
}

struct Case {
  std::string name;
  GroupQuantization quantization;
  int64_t rows = 0;
  int64_t cols = 0;
  bool in_order = true;
  DType scale_type = DType::kF16;
};

std::vector<Case> Cases() {
  GroupQuantization v2 = Gptq();
  v2.zero_minus_one = false;
  GroupQuantization asymmetric = Packed();
  asymmetric.symmetric = false;
  return {
      {"Awq", Awq(), 168, 384},
      {"AwqWide", Awq(), 8, 2304},  // 18 groups: more than two words of zeros
      {"AwqTail", Awq(), 24, 200},
      {"Gptq", Gptq(), 136, 256},
      {"GptqV2", v2, 264, 128, true, DType::kBF16},
      {"GptqTail", Gptq(), 16, 328, true, DType::kF32},
      {"GptqActOrder", ActOrder(Gptq()), 136, 640, false},
      {"GptqActOrderInOrder", ActOrder(v2), 16, 256},
      {"Packed", Packed(), 131, 384, true, DType::kBF16},
      {"PackedTail", Packed(), 5, 203},
      {"PackedAsymmetric", asymmetric, 141, 1408},
      {"PackedActOrder", ActOrder(asymmetric), 21, 512, false, DType::kF32},
      {"Int8", Int8(), 37, 384, true, DType::kBF16},
      {"Int8Tail", Int8(), 37, 77, true, DType::kF32},
  };
}

class GroupQuantizedTest : public ::testing::TestWithParam<Case> {};

TEST_P(GroupQuantizedTest, ReadsWhatTheDefinitionSays) {
  const Case& c = GetParam();
  const TestFolder folder;
  const GroupedMatrix m = RandomMatrix(c.quantization, c.rows, c.cols, c.in_order);
  WriteGroupFile(folder, FileOf(c.quantization, m, c.scale_type));
  const auto reader = CheckpointReader::Open(folder.path());
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto weight = GroupQuantizedWeight::Open(*reader, c.quantization, kWeight, c.rows, c.cols);
  ASSERT_TRUE(weight.ok()) << weight.status();
  EXPECT_EQ(weight->in_order(), c.in_order);

  Draws draws(9);
  std::vector<Slice> slices = {{0, c.rows, 0, c.cols}};
  for (int i = 0; i < 40; ++i) {
    Slice s;
    s.row_begin = draws.Below(static_cast<int>(c.rows));
    s.rows = 1 + draws.Below(static_cast<int>(c.rows - s.row_begin));
    s.col_begin = draws.Below(static_cast<int>(c.cols));
    s.cols = 1 + draws.Below(static_cast<int>(c.cols - s.col_begin));
    if (i % 2 == 0) s.col_begin = s.col_begin / 128 * 128;
    if (i % 4 == 0) s.cols = std::max<int64_t>(s.cols / 128 * 128, 1);
    slices.push_back(s);
  }
  int block_reads = 0;
  for (const Slice& s : slices) {
    std::vector<float> expected;
    for (int64_t row = s.row_begin; row < s.row_begin + s.rows; ++row) {
      for (int64_t col = s.col_begin; col < s.col_begin + s.cols; ++col)
        expected.push_back(m.Value(row, col));
    }
    std::vector<float> values(expected.size(), -1);
    ASSERT_TRUE(weight->ReadValues(s, values.data()).ok());
    ASSERT_EQ(values, expected) << s.row_begin << " " << s.rows << " " << s.col_begin << " " << s.cols;

    const bool whole = c.in_order && s.col_begin % 128 == 0 && s.cols % 128 == 0;
    ASSERT_EQ(weight->HoldsBlocks(s.col_begin, s.cols), whole);
    if (!whole) continue;
    ++block_reads;
    // At an odd address; the bytes before and after must be unchanged.
    std::vector<std::byte> blocks(static_cast<size_t>(s.rows * BytesOf(weight->block_type(), s.cols)) + 2,
                                  std::byte{0x5a});
    ASSERT_TRUE(weight->ReadBlocks(s, blocks.data() + 1).ok());
    EXPECT_EQ(blocks.front(), std::byte{0x5a});
    EXPECT_EQ(blocks.back(), std::byte{0x5a});
    std::vector<float> dequantized(expected.size());
    Dequantize(weight->block_type(), blocks.data() + 1, s.rows * s.cols, dequantized.data());
    ASSERT_EQ(dequantized, expected);
  }
  EXPECT_EQ(block_reads > 0, c.in_order && c.cols >= 128);
}

INSTANTIATE_TEST_SUITE_P(Layouts, GroupQuantizedTest, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

// The words that AutoAWQ, AutoGPTQ and compressed-tensors write for rows 0..7 holding 0..7.
TEST(GroupQuantizedTest, WordsOfKnownContent) {
  GroupedMatrix m = RandomMatrix(Awq(), 8, 8, true);
  for (int64_t i = 0; i < 64; ++i) m.q[static_cast<size_t>(i)] = static_cast<int>(i / 8);
  const std::string prefix = std::string(kModule) + ".";
  const auto word = [&](const GroupQuantization& quantization, const char* part, int64_t index) {
    uint32_t bits;
    std::memcpy(&bits, FileOf(quantization, m).at(prefix + part).bytes.data() + 4 * index, 4);
    return bits;
  };
  EXPECT_EQ(word(Awq(), "qweight", 0), 0x75316420u);
  EXPECT_EQ(word(Gptq(), "qweight", 3), 0x33333333u);
  EXPECT_EQ(word(Packed(), "weight_packed", 5), 0x55555555u);
}

// compressed-tensors initialises g_idx with -1, which means that the columns are in order.
TEST(GroupQuantizedTest, AnUnsetOrderIsInOrder) {
  const GroupQuantization quantization = ActOrder(Packed());
  const TestFolder folder;
  const GroupedMatrix m = RandomMatrix(quantization, 8, 256, true);
  GroupFile file = FileOf(quantization, m);
  for (int64_t col = 0; col < 256; ++col) {
    file.at(std::string(kModule) + ".weight_g_idx").Put(col, int32_t{-1});
  }
  WriteGroupFile(folder, file);
  const auto reader = CheckpointReader::Open(folder.path());
  const auto weight = GroupQuantizedWeight::Open(*reader, quantization, kWeight, 8, 256);
  ASSERT_TRUE(weight.ok()) << weight.status();
  EXPECT_TRUE(weight->in_order());
}

struct Damage {
  std::string name;
  GroupQuantization quantization;
  std::function<void(GroupFile&)> change;
  absl::StatusCode code;
  std::vector<std::string> message;
};

std::string Part(const char* part) { return std::string(kModule) + "." + part; }

std::function<void(GroupFile&)> Without(const char* part) {
  return [part](GroupFile& file) { file.erase(Part(part)); };
}
std::function<void(GroupFile&)> With(const char* part, DType type, std::vector<int64_t> shape) {
  return [=](GroupFile& file) { file[Part(part)] = Zeroed(type, shape); };
}
template <class T>
std::function<void(GroupFile&)> Value(const char* part, int64_t index, T value) {
  return [=](GroupFile& file) { file.at(Part(part)).Put(index, value); };
}

constexpr int64_t kRows = 16;
constexpr int64_t kCols = 256;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

GroupQuantization Asymmetric() {
  GroupQuantization quantization = Packed();
  quantization.symmetric = false;
  return quantization;
}

class DamageTest : public ::testing::TestWithParam<Damage> {};

// Opening or reading gives an error that names the tensor and the file.
TEST_P(DamageTest, IsRefusedByName) {
  const Damage& damage = GetParam();
  const TestFolder folder;
  GroupFile file = FileOf(damage.quantization, RandomMatrix(damage.quantization, kRows, kCols, true));
  damage.change(file);
  WriteGroupFile(folder, file);
  const auto reader = CheckpointReader::Open(folder.path());
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto weight = GroupQuantizedWeight::Open(*reader, damage.quantization, kWeight, kRows, kCols);
  absl::Status status = weight.status();
  if (weight.ok()) {
    std::vector<float> values(kRows * kCols);
    std::vector<std::byte> blocks(static_cast<size_t>(kRows * BytesOf(weight->block_type(), kCols)));
    status = weight->ReadValues({0, kRows, 0, kCols}, values.data());
    if (weight->HoldsBlocks(0, kCols)) {
      EXPECT_EQ(weight->ReadBlocks({0, kRows, 0, kCols}, blocks.data()), status);
    }
  }
  EXPECT_EQ(status.code(), damage.code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder.path()));
  for (const std::string& part : damage.message) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Parts, DamageTest,
    ::testing::Values(
        Damage{"NoCodes", Awq(), Without("qweight"), kNotFound, {"up_proj.qweight [256, 2]", "missing"}},
        Damage{"NoZeros", Awq(), Without("qzeros"), kNotFound, {"up_proj.qzeros [2, 2]", "missing"}},
        Damage{"NoScales", Gptq(), Without("scales"), kNotFound, {"up_proj.scales [2, 16]", "missing"}},
        Damage{"NoOrder", ActOrder(Gptq()), Without("g_idx"), kNotFound, {"up_proj.g_idx [256]", "missing"}},
        Damage{"NoPacked", Packed(), Without("weight_packed"), kNotFound, {"weight_packed [16, 32]"}},
        Damage{"NoScale", Packed(), Without("weight_scale"), kNotFound, {"weight_scale [16, 2]"}},
        Damage{"NoShape", Packed(), Without("weight_shape"), kNotFound, {"weight_shape [2]"}},
        Damage{"NoZeroPoint", Asymmetric(), Without("weight_zero_point"), kNotFound, {"zero_point [2, 2]"}},
        Damage{"NoInt8Scale", Int8(), Without("weight_scale"), kNotFound, {"weight_scale [16, 1]"}},
        Damage{"Unquantised",
               Awq(),
               [](GroupFile& file) {
                 file.erase(Part("qweight"));
                 file[kWeight] = Zeroed(DType::kBF16, {kRows, kCols});
               },
               kInvalid,
               {"up_proj.weight is stored as BF16", "quantization_config", "qweight"}},
        Damage{"Int8Unquantised",
               Int8(),
               With("weight", DType::kBF16, {kRows, kCols}),
               kInvalid,
               {"up_proj.weight is BF16", "expected I8"}},
        Damage{"CodesType",
               Awq(),
               With("qweight", DType::kU8, {kCols, kRows / 8}),
               kInvalid,
               {"qweight is U8", "expected I32"}},
        Damage{"ScalesType",
               Gptq(),
               With("scales", DType::kI32, {2, kRows}),
               kInvalid,
               {"scales is I32", "F16 or BF16 or F32"}},
        Damage{"CodesShape",
               Awq(),
               With("qweight", DType::kI32, {kCols / 8, kRows}),
               kInvalid,
               {"qweight has shape [32, 16]", "expected [256, 2]"}},
        Damage{"OtherGroupSize",
               Gptq(),
               With("scales", DType::kF16, {4, kRows}),
               kInvalid,
               {"scales has shape [4, 16]", "expected [2, 16]"}},
        Damage{"Empty",
               Packed(),
               With("weight_packed", DType::kI32, {0, 32}),
               kInvalid,
               {"weight_packed has shape [0, 32]"}},
        Damage{"Scalar",
               Packed(),
               With("weight_scale", DType::kBF16, {}),
               kInvalid,
               {"weight_scale has shape []"}},
        Damage{"ZeroPointShape",
               Asymmetric(),
               With("weight_zero_point", DType::kI32, {kRows, 2}),
               kInvalid,
               {"weight_zero_point has shape [16, 2]"}},
        Damage{
            "OrderType", ActOrder(Gptq()), With("g_idx", DType::kI64, {kCols}), kInvalid, {"g_idx is I64"}},
        Damage{"OrderShape",
               ActOrder(Packed()),
               With("weight_g_idx", DType::kI32, {kCols + 1}),
               kInvalid,
               {"weight_g_idx has shape [257]"}}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Contents, DamageTest,
    ::testing::Values(
        Damage{"NegativeGroup",
               ActOrder(Gptq()),
               Value("g_idx", 7, int32_t{-3}),
               kDataLoss,
               {"g_idx", "column 7", "group -3", "0 to 1"}},
        Damage{"GroupBeyond",
               ActOrder(Gptq()),
               Value("g_idx", 255, int32_t{2}),
               kDataLoss,
               {"g_idx", "column 255", "group 2"}},
        Damage{"GroupHuge",
               ActOrder(Packed()),
               Value("weight_g_idx", 0, int32_t{0x7fffffff}),
               kDataLoss,
               {"weight_g_idx", "2147483647"}},
        Damage{"OrderPartlyUnset",
               ActOrder(Packed()),
               Value("weight_g_idx", 9, int32_t{-1}),
               kDataLoss,
               {"weight_g_idx", "column 9", "group -1"}},
        Damage{"OrderUndeclared",
               Gptq(),
               Value("g_idx", 0, int32_t{1}),
               kInvalid,
               {"g_idx", "out of order", "desc_act"}},
        Damage{"ShapeOfAnother",
               Packed(),
               Value("weight_shape", 1, int64_t{512}),
               kDataLoss,
               {"weight_shape", "[16, 512]", "[16, 256]"}},
        Damage{"ShapeNegative",
               Packed(),
               Value("weight_shape", 0, int64_t{-16}),
               kDataLoss,
               {"weight_shape", "[-16, 256]"}},
        Damage{
            "AwqNan", Awq(), Value("scales", 31, uint16_t{0x7e00}), kDataLoss, {"scales", "NaN or infinity"}},
        Damage{"GptqInfinite",
               ActOrder(Gptq()),
               Value("scales", 0, uint16_t{0xfc00}),
               kDataLoss,
               {"scales", "NaN or infinity"}},
        Damage{"PackedNan",
               Packed(),
               Value("weight_scale", 5, uint16_t{0x7fff}),
               kDataLoss,
               {"weight_scale", "NaN or infinity"}},
        Damage{"Int8Overflow",
               Int8(),
               [](GroupFile& file) {
                 file[Part("weight_scale")] = Zeroed(DType::kF32, {kRows, 1});
                 file[Part("weight_scale")].Put(3, std::numeric_limits<float>::max() / 100);
               },
               kDataLoss,
               {"weight_scale", "NaN or infinity"}}),
    [](const auto& info) { return info.param.name; });

// Words cannot hold rows and columns that are not a multiple of eight.
TEST(GroupQuantizedTest, RefusesSizesThatTheLayoutCannotPack) {
  const TestFolder folder;
  WriteGroupFile(folder, FileOf(Awq(), RandomMatrix(Awq(), 8, 128, true)));
  const auto reader = CheckpointReader::Open(folder.path());
  EXPECT_THAT(std::string(GroupQuantizedWeight::Open(*reader, Awq(), kWeight, 12, 128).status().message()),
              AllOf(HasSubstr(kWeight), HasSubstr("12 rows")));
  EXPECT_THAT(std::string(GroupQuantizedWeight::Open(*reader, Gptq(), kWeight, 8, 132).status().message()),
              AllOf(HasSubstr(kWeight), HasSubstr("132 columns")));
}

}  // namespace
}  // namespace deeprack::checkpoint
