#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/jinja/render.h"

namespace deeprack::coordinator::jinja {
namespace {

std::string Again(std::string_view json) { return ToJson(*FromJson(json), {})->bytes(); }

TEST(JinjaFromJson, KeepsOrderAndTypes) {
  constexpr std::string_view kJson = R"({"b": 1, "a": [true, null, 1.5, -7, "x\n"], "c": {}})";
  EXPECT_EQ(Again(kJson), kJson);
  EXPECT_EQ(Again(R"({"a": 1, "b": 2, "a": 3})"), R"({"a": 3, "b": 2})");
  EXPECT_EQ(Again("18446744073709551615"), "1.8446744073709552e+19");
}

TEST(JinjaFromJson, ManyKeysStayInOrder) {
  std::string json = "{";
  for (int i = 0; i < 1000; ++i)
    json += (i > 0 ? ", \"k" : "\"k") + std::to_string(i * 7 % 1000) + "\": " + std::to_string(i);
  json += "}";
  EXPECT_EQ(Again(json), json);
}

TEST(JinjaFromJson, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[1,]", "{'a': 1}", "1 2", "nul"})
    EXPECT_FALSE(FromJson(text).ok()) << text;
  EXPECT_TRUE(FromJson(std::string(128, '[') + std::string(128, ']')).ok());
  EXPECT_THAT(std::string(FromJson(std::string(129, '[') + std::string(129, ']')).status().message()),
              testing::HasSubstr("128 levels"));
}

}  // namespace
}  // namespace deeprack::coordinator::jinja
