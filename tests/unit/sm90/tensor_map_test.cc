#include "kernels/cuda/sm90/isa/tensor_map.h"

#include <gtest/gtest.h>

namespace deeprack::kernels::sm90 {
namespace {

alignas(1024) char memory[4096];

TEST(TensorMapTest, AMatrixInBoxes) {
  const TensorMapSpec spec = MatrixMap(memory, DType::kBF16, 10, 40, 48, 8, 32, true);
  EXPECT_EQ(WhatIsWrong(spec), nullptr);
  EXPECT_EQ(spec.sizes[0], 40);
  EXPECT_EQ(spec.sizes[1], 10);
  EXPECT_EQ(spec.sizes[2], 1);
  EXPECT_EQ(spec.stride_bytes[0], 96);
  EXPECT_EQ(spec.stride_bytes[1], 960);
  EXPECT_EQ(spec.box[0], 32);
  EXPECT_EQ(spec.box[1], 8);
}

TEST(TensorMapTest, SaysWhatIsWrong) {
  const TensorMapSpec good = MatrixMap(memory, DType::kF8E4M3, 10, 256, 256, 128, 128, true);
  ASSERT_EQ(WhatIsWrong(good), nullptr);
  const auto wrong = [&](auto change) {
    TensorMapSpec spec = good;
    change(spec);
    return WhatIsWrong(spec);
  };
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.base = memory + 8; }), "the base is not a multiple of 16");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.base = nullptr; }), "the base is not a multiple of 16");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.sizes[1] = 0; }), "a dimension is not within 1 to 2^32");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.stride_bytes[0] = 264; }),
               "a stride is no multiple of 16 below 2^40");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.stride_bytes[1] = int64_t{1} << 40; }),
               "a stride is no multiple of 16 below 2^40");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.box[1] = 257; }), "a box is not within 1 to 256");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.box[0] = 24; }), "a row of the box is no multiple of 16 bytes");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.box[0] = 144; }),
               "a row of a swizzled box is longer than 128 bytes");
  EXPECT_STREQ(wrong([](TensorMapSpec& s) { s.type = DType::kI64; }),
               "the element type is none that tensor maps are made for");
}

}  // namespace
}  // namespace deeprack::kernels::sm90
