// Entries of a KV cache in fp8 (base/fp8_kv_page.h) as attention reads them.
#pragma once

#include "base/fp8_kv_page.h"
#include "kernels/cpu/micro_kernel.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

// Expands `count` entries from `slot` on to rows of bf16, which represents their values exactly.
void ExpandEntries(const char* cache, const Fp8KvPage& page, int64_t slot, int64_t count, bf16* rows,
                   int64_t stride) {
  for (int64_t i = 0; i < count; ++i) {
    const char* const entry = cache + page.EntryAt(slot + i);
    const auto* const latent = reinterpret_cast<const fp8_e4m3*>(entry);
    const auto* const rope = reinterpret_cast<const bf16*>(entry + page.rope_begin());
    const F16 scale = Set1(*reinterpret_cast<const float*>(cache + page.ScaleAt(slot + i)));
    bf16* const row = rows + i * stride;
    for (int64_t c = 0; c < page.latent_dim; c += 16) {
      const int64_t rest = page.latent_dim - c;
      StoreFirst(row + c, Mul(LoadFirst(latent + c, rest), scale), rest);
    }
    for (int64_t c = 0; c < page.rope_dim; c += 16) {
      const int64_t rest = page.rope_dim - c;
      StoreFirst(row + page.latent_dim + c, Mul(LoadFirst(rope + c, rest), scale), rest);
    }
  }
}

}  // namespace
}  // namespace deeprack::kernels::DEEPRACK_SIMD
