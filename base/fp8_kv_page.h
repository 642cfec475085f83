// A page of a KV cache in fp8, for latent attention: the same bytes on every backend.
//
// A token's entry is scale * (latent_dim values of e4m3 | rope_dim values of bf16), scale an fp32 power of
// two of the token: the smallest, from 2^-32 on, that brings its latent within e4m3 (base/e4m3.h). So the
// rope's values stay exact, as they are bf16, and a latent's are off by 1/16 of themselves at most, or by
// 2^-17 of the latent's largest. A page is the entries of its kPageTokens tokens, rope at an even byte, and
// then their scales; in a cache that is aligned to 128 bytes every page is. 512 + 64 values: 41216 bytes, 644
// a token against 1152 in bf16. What nobody wrote may hold anything.
//
// NaN stays NaN and has no say in the scale. A latent with infinities has scale 2^120: they stay, what is
// finite becomes 0 or is off by 2^110. A rope value beyond bf16's range when divided by the scale becomes
// infinite, or is rounded as a subnormal.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace deeprack {

struct Fp8KvPage {
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;

  // Of an entry: where its rope begins, and all of it.
  constexpr int64_t rope_begin() const { return (latent_dim + 1) / 2 * 2; }
  constexpr int64_t entry_bytes() const { return rope_begin() + 2 * rope_dim; }
  constexpr int64_t scales_begin() const { return kPageTokens * entry_bytes(); }
  constexpr int64_t bytes() const { return scales_begin() + kPageTokens * int64_t{sizeof(float)}; }

  // Bytes from the cache's begin to the entry of slot page * kPageTokens + token, and to its scale.
  constexpr int64_t EntryAt(int64_t slot) const {
    return slot / kPageTokens * bytes() + slot % kPageTokens * entry_bytes();
  }
  constexpr int64_t ScaleAt(int64_t slot) const {
    return slot / kPageTokens * bytes() + scales_begin() + slot % kPageTokens * int64_t{sizeof(float)};
  }
};

}  // namespace deeprack
