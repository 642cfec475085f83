// One API key. A key is a secret of 256 random bits. The server stores its hash and not the key.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace deeprack {

// HMAC-SHA-256, and the secret under which the keys of one file are hashed.
using KeyHash = std::array<uint8_t, 32>;
using KeySalt = std::array<uint8_t, 32>;

// A stored key.
struct ApiKey {
  std::string name;  // IsKeyName; unique in its file
  KeyHash hash{};
  absl::Time created;                           // whole seconds
  absl::Time expires = absl::InfiniteFuture();  // whole seconds; the key is refused from then on

  bool operator==(const ApiKey&) const = default;
};

// True for 1 to 64 letters, digits, '.', '-' and '_'.
bool IsKeyName(absl::string_view name);

// "sk-dr-" and 43 characters of base64url: 256 bits of the system's randomness.
std::string MakeKeyText();
KeySalt MakeKeySalt();

// The HMAC-SHA-256 of `text` under `salt`.
KeyHash HashKey(const KeySalt& salt, absl::string_view text);

// Compares in a time that does not depend on the values.
bool SameHash(const KeyHash& a, const KeyHash& b);

}  // namespace deeprack
