#include "coordinator/access/credentials.h"

#include <set>

#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

TEST(KeyOfHeaders, TakesEitherHeader) {
  EXPECT_EQ(KeyOfHeaders("Bearer abc", ""), "abc");
  EXPECT_EQ(KeyOfHeaders("bearer  abc ", "other"), "abc");
  EXPECT_EQ(KeyOfHeaders("", "abc"), "abc");
  EXPECT_EQ(KeyOfHeaders("Basic abc", "def"), "def");
  EXPECT_EQ(KeyOfHeaders("abc", ""), "");
  EXPECT_EQ(KeyOfHeaders("Bearer", ""), "");
  EXPECT_EQ(KeyOfHeaders("", ""), "");
}

TEST(CacheSalt, DiffersForEveryCallerAndSalt) {
  EXPECT_EQ(CacheSalt({}, ""), "");
  EXPECT_EQ(CacheSalt({}, "mine"), "mine");
  std::set<std::string> salts;
  for (const char* key : {"a", "ab", "b"}) {
    for (const char* salt : {"", "a", "b", "ba"}) salts.insert(CacheSalt({.key = key}, salt));
  }
  EXPECT_EQ(salts.size(), 12);
  EXPECT_FALSE(salts.contains(""));
}

}  // namespace
}  // namespace deeprack::coordinator
