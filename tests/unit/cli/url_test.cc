#include "cli/http/url.h"

#include <gtest/gtest.h>

namespace deeprack::cli {
namespace {

TEST(Url, IsTakenApart) {
  const auto url = ParseUrl("http://rack.example:8000/base/");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->host, "rack.example");
  EXPECT_EQ(url->port, "8000");
  EXPECT_EQ(url->path, "/base");
  EXPECT_EQ(ParseUrl("localhost")->authority(), "localhost:80");
  EXPECT_EQ(ParseUrl("[::1]:9")->host, "::1");
  EXPECT_EQ(ParseUrl("[::1]:9")->authority(), "[::1]:9");
}

TEST(Url, RefusesWhatItIsNot) {
  for (const char* text :
       {"", "http://", "https://a:1", "a:", "a:0", "a:65536", "a:1x", "[::1", "a b:1", "http://:80"}) {
    EXPECT_FALSE(ParseUrl(text).ok()) << text;
  }
}

}  // namespace
}  // namespace deeprack::cli
