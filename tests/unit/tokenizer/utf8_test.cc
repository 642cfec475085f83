#include "coordinator/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include "coordinator/tokenizer/byte_level.h"

namespace deeprack::coordinator {
namespace {

std::string Lossy(std::string_view bytes) {
  std::string text;
  AppendUtf8Lossy(bytes, &text);
  return text;
}

TEST(Utf8, EveryCodePointIsReadBack) {
  for (uint32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) continue;
    std::string bytes;
    AppendUtf8(code_point, &bytes);
    const Utf8Step step = ReadUtf8(bytes);
    ASSERT_EQ(step.kind, Utf8Kind::kValid) << code_point;
    ASSERT_EQ(step.code_point, code_point);
    ASSERT_EQ(step.length, static_cast<int>(bytes.size()));
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
      const Utf8Step part = ReadUtf8(std::string_view(bytes).substr(0, cut));
      ASSERT_EQ(part.kind, Utf8Kind::kIncomplete) << code_point;
      ASSERT_EQ(part.length, static_cast<int>(cut));
    }
  }
}

// The Unicode Standard's own examples (table 3-8 and those after it).
TEST(Utf8, OneReplacementForEachMaximalPart) {
  EXPECT_EQ(Lossy("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(Lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(Lossy("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(Lossy("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(Lossy("\xE2\x82"), "\uFFFD");
}

TEST(Utf8, FirstInvalidOffset) {
  EXPECT_EQ(FirstInvalidUtf8("h\u00e9\u4e2d"), std::nullopt);
  EXPECT_EQ(FirstInvalidUtf8("h\u00e9\xFFx"), 3u);
  EXPECT_EQ(FirstInvalidUtf8("ok\xE2\x82"), 2u);
  EXPECT_EQ(FirstInvalidUtf8(std::string_view("\0", 1)), std::nullopt);
}

TEST(ByteLevel, SymbolsStandForBytesOneToOne) {
  for (int byte = 0; byte < 256; ++byte) EXPECT_EQ(SymbolToByte(ByteToSymbol(byte)), byte);
  EXPECT_EQ(ByteToSymbol('\n'), 0x10Au);
  EXPECT_EQ(SymbolToByte(' '), std::nullopt);
  EXPECT_EQ(SymbolToByte(0x144), std::nullopt);
  EXPECT_EQ(SymbolsToBytes("\u0120a"), " a");
  EXPECT_EQ(SymbolsToBytes("a b"), std::nullopt);
}

}  // namespace
}  // namespace deeprack::coordinator
