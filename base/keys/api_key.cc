#include "base/keys/api_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace deeprack {
namespace {

std::array<uint8_t, 32> RandomBytes() {
  std::array<uint8_t, 32> bytes;
  DR_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
  return bytes;
}

}  // namespace

bool IsKeyName(absl::string_view name) {
  constexpr size_t kMostBytes = 64;
  return !name.empty() && name.size() <= kMostBytes && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
  });
}

std::string MakeKeyText() {
  const std::array<uint8_t, 32> secret = RandomBytes();
  return absl::StrCat("sk-dr-", absl::WebSafeBase64Escape(absl::string_view(
                                    reinterpret_cast<const char*>(secret.data()), secret.size())));
}

KeySalt MakeKeySalt() { return RandomBytes(); }

KeyHash HashKey(const KeySalt& salt, absl::string_view text) {
  KeyHash hash;
  unsigned size = 0;
  DR_CHECK(HMAC(EVP_sha256(), salt.data(), static_cast<int>(salt.size()),
                reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data(),
                &size) != nullptr);
  DR_CHECK(size == hash.size());
  return hash;
}

bool SameHash(const KeyHash& a, const KeyHash& b) { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace deeprack
