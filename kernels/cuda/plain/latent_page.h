// Pages of latents in a cache of any type.
#pragma once

#include "base/fp8_kv_page.h"
#include "kernels/cuda/plain/attention_page.h"

namespace deeprack::kernels::plain {

// A page of a cache with elements of type T: reads element i of position s.
template <class C>
struct LatentPage : PageRows<C> {
  __device__ LatentPage(const void* cache, int64_t latent_dim, int64_t rope_dim, int64_t page)
      : PageRows<C>{static_cast<const C*>(cache) + page * kPageTokens * (latent_dim + rope_dim),
                    latent_dim + rope_dim} {}
};
template <>
struct LatentPage<fp8_e4m3> {
  __device__ LatentPage(const void* cache, int64_t latent_dim, int64_t rope_dim, int64_t page)
      : layout{latent_dim, rope_dim},
        bytes(static_cast<const char*>(cache) + layout.EntryAt(page * kPageTokens)) {}
  __device__ float operator()(int s, int64_t i) const {
    const float scale = *reinterpret_cast<const float*>(bytes + layout.ScaleAt(s));
    const char* entry = bytes + layout.EntryAt(s);
    if (i < layout.latent_dim) return ToFloat(reinterpret_cast<const fp8_e4m3*>(entry)[i]) * scale;
    const float rope =
        ToFloat(reinterpret_cast<const bf16*>(entry + layout.rope_begin())[i - layout.latent_dim]);
    return ToFloat(ToBF16(rope * scale));
  }
  Fp8KvPage layout;
  const char* bytes;
};

// Calls f with a value of the C++ type of the cache's elements.
template <class F>
void DispatchCache(DType type, F f) {
  if (type == DType::kF8E4M3) return f(fp8_e4m3{});
  DispatchActivation(type, f);
}

}  // namespace deeprack::kernels::plain
