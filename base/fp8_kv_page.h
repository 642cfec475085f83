// A page of an fp8 KV cache for latent attention. The bytes are the same on every backend.
//
// A token's entry is latent_dim values of e4m3, then, from an even byte on, rope_dim values of bf16. Each
// token has one scale, an fp32 power of two; value = scale * stored value. The scale is the smallest one,
// from 2^-32 on, that brings the token's latent within e4m3 (base/e4m3.h). A page [kPageTokens] holds the
// entries of its tokens, then their scales. 512 + 64 values take 41216 bytes a page, 644 bytes a token (bf16:
// 1152 bytes a token). When the cache is aligned to 128 bytes, every page is aligned to 128 bytes. Slots
// that no step has written may hold any bytes.
//
// Errors of a stored value: a rope value is bf16 and exact. A latent value is off by at most 1/16 of itself,
// or by at most 2^-17 of the largest latent value of its token. NaN stays NaN and does not change the scale.
// A latent with infinities has the scale 2^120: infinities stay, finite values become 0 or are off by up to
// 2^110. A rope value that, divided by the scale, is beyond bf16's range becomes infinite or is rounded as a
// subnormal.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace deeprack {

struct Fp8KvPage {
  int64_t latent_dim = 0;
  int64_t rope_dim = 0;

  // Bytes from an entry's beginning to its rope values, and bytes of an entry.
  constexpr int64_t rope_begin() const { return (latent_dim + 1) / 2 * 2; }
  constexpr int64_t entry_bytes() const { return rope_begin() + 2 * rope_dim; }
  // Bytes from a page's beginning to its scales [kPageTokens], and bytes of a page.
  constexpr int64_t scales_begin() const { return kPageTokens * entry_bytes(); }
  constexpr int64_t bytes() const { return scales_begin() + kPageTokens * int64_t{sizeof(float)}; }

  // Bytes from the cache's beginning to the entry, and to the scale, of slot page * kPageTokens + token.
  constexpr int64_t EntryAt(int64_t slot) const {
    return slot / kPageTokens * bytes() + slot % kPageTokens * entry_bytes();
  }
  constexpr int64_t ScaleAt(int64_t slot) const {
    return slot / kPageTokens * bytes() + scales_begin() + slot % kPageTokens * int64_t{sizeof(float)};
  }
};

}  // namespace deeprack
