// FNV-1a (draft-eastlake-fnv): a 64-bit hash. The same bytes have the same hash in every process and on every
// machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace deeprack {

inline constexpr uint64_t kFnvBegin = 0xcbf29ce484222325u;

// The hash of `bytes`. To hash a text piece by piece, pass the hash of the pieces before as `hash`.
constexpr uint64_t Fnv1a(std::string_view bytes, uint64_t hash = kFnvBegin) {
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace deeprack
