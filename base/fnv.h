// FNV-1a (draft-eastlake-fnv): a hash that is the same number in every process and on every machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace deeprack {

inline constexpr uint64_t kFnvBegin = 0xcbf29ce484222325u;

// Of what `hash` is the hash of, followed by `bytes`.
constexpr uint64_t Fnv1a(std::string_view bytes, uint64_t hash = kFnvBegin) {
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace deeprack
