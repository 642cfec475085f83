#include "settings/size_text.h"

#include <gtest/gtest.h>

namespace deeprack {
namespace {

TEST(SizeText, IsANumberAndAUnit) {
  EXPECT_EQ(ParseSize("80G", 1).value(), int64_t{80} << 30);
  EXPECT_EQ(ParseSize("3T", 1).value(), int64_t{3} << 40);
  EXPECT_EQ(ParseSize("1000", 1).value(), 1000);
  EXPECT_EQ(ParseSize("0", 0).value(), 0);
  for (const char* wrong : {"", "G", "80GB", "-1", "0", "1.5G", "9999999999G"}) {
    EXPECT_EQ(ParseSize(wrong, 1).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(SizeText, IsReadAsItWasWritten) {
  EXPECT_EQ(SizeText(int64_t{64} << 20), "64M");
  EXPECT_EQ(SizeText(int64_t{2048} << 30), "2T");
  EXPECT_EQ(SizeText(1000), "1000");
  for (const int64_t bytes :
       {int64_t{0}, int64_t{1}, int64_t{1536}, int64_t{1} << 62, (int64_t{1} << 62) + 1})
    EXPECT_EQ(ParseSize(SizeText(bytes), 0).value(), bytes);
}

}  // namespace
}  // namespace deeprack
