#include "base/e4m3.h"

#include <gtest/gtest.h>

#include <cmath>

namespace deeprack {
namespace {

TEST(E4M3Test, EveryValueAndEveryMidpoint) {
  for (int bits = 0; bits < 0x7e; ++bits) {
    const float value = ToFloat(fp8_e4m3{static_cast<uint8_t>(bits)});
    const float next = ToFloat(fp8_e4m3{static_cast<uint8_t>(bits + 1)});
    const float middle = (value + next) / 2;  // exact
    EXPECT_EQ(ToE4M3(value).bits, bits);
    EXPECT_EQ(ToE4M3(-value).bits, bits | 0x80);
    EXPECT_EQ(ToE4M3(middle).bits, bits % 2 == 0 ? bits : bits + 1) << value;
    EXPECT_EQ(ToE4M3(std::nextafter(middle, 0.0f)).bits, bits);
    EXPECT_EQ(ToE4M3(std::nextafter(middle, 1e9f)).bits, bits + 1);
  }
  EXPECT_EQ(ToE4M3(448.0f).bits, 0x7e);
  EXPECT_EQ(ToE4M3(1e20f).bits, 0x7e);
  EXPECT_EQ(ToE4M3(-INFINITY).bits, 0xfe);
  EXPECT_EQ(ToE4M3(NAN).bits & 0x7f, 0x7f);
}

TEST(ScaleExponentTest, IsTheSmallestThatFits) {
  EXPECT_EQ(ScaleExponent(448.0f), 0);
  EXPECT_EQ(ScaleExponent(std::nextafter(448.0f, 1e9f)), 1);
  EXPECT_EQ(ScaleExponent(512.0f), 1);
  EXPECT_EQ(ScaleExponent(1.75f), -8);
  EXPECT_EQ(ScaleExponent(1.0f), -8);
  EXPECT_EQ(ScaleExponent(0.0f), -32);
  EXPECT_EQ(ExponentOf(PowerOfTwo(-32)), -32);
}

}  // namespace
}  // namespace deeprack
