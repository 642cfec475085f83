#include "base/keys/api_key.h"

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack {
namespace {

using ::testing::StartsWith;

std::string Hex(const KeyHash& hash) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()));
}

TEST(ApiKey, TheHashIsHmacSha256) {
  // RFC 4231, test case 3: a key of 20 bytes 0xaa and 50 bytes 0xdd. HMAC fills a short key with zeros.
  KeySalt salt{};
  std::fill(salt.begin(), salt.begin() + 20, 0xaa);
  EXPECT_EQ(Hex(HashKey(salt, std::string(50, '\xdd'))),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}

TEST(ApiKey, KeysAreLongAndDiffer) {
  const std::string key = MakeKeyText();
  EXPECT_THAT(key, StartsWith("sk-dr-"));
  EXPECT_EQ(key.size(), 6 + 43);
  std::string secret;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(key.substr(6), &secret));
  EXPECT_EQ(secret.size(), 32);
  EXPECT_NE(MakeKeyText(), key);
  EXPECT_NE(MakeKeySalt(), MakeKeySalt());
}

TEST(ApiKey, HashesAreComparedWhole) {
  const KeySalt salt{};
  const KeyHash hash = HashKey(salt, "a");
  EXPECT_TRUE(SameHash(hash, HashKey(salt, "a")));
  for (size_t i = 0; i < hash.size(); ++i) {
    KeyHash other = hash;
    other[i] ^= 1;
    EXPECT_FALSE(SameHash(hash, other)) << i;
  }
}

TEST(ApiKey, Names) {
  for (const char* good : {"a", "team-1", "A.b_c", "0"}) EXPECT_TRUE(IsKeyName(good)) << good;
  for (const char* bad : {"", "a b", "a/b", "é", "a\n"}) EXPECT_FALSE(IsKeyName(bad)) << bad;
  EXPECT_TRUE(IsKeyName(std::string(64, 'a')));
  EXPECT_FALSE(IsKeyName(std::string(65, 'a')));
}

}  // namespace
}  // namespace deeprack
