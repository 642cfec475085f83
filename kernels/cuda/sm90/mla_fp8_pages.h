// Shared memory of latent attention over an fp8 cache, and the warp that loads queries and pages into it.
#pragma once

#include "kernels/cuda/sm90/mla_launch.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kFp8Panels = static_cast<int>(kFp8EntryBytes) / kSwizzleBytes;  // the last: the rope
inline constexpr uint32_t kFp8PanelBytes = kPageTokens * kSwizzleBytes;
inline constexpr uint32_t kFp8ScaleBytes = kPageTokens * sizeof(float);

// Shared memory: barriers and small exchanges, pages' scales, the queries, the weights, a ring of pages.
template <int kColumns>
struct MlaFp8Shared {
  static constexpr uint32_t kHeadBytes = 6144;
  static constexpr uint32_t kQueryPanelBytes = kColumns * kSwizzleBytes;
  static constexpr uint32_t kPageBytes = kFp8Panels * kFp8PanelBytes;
  static constexpr uint32_t kFixedBytes = kHeadBytes + (kFp8Panels + 1) * kQueryPanelBytes;
  static constexpr int kStages = static_cast<int>((kSharedBytes - kFixedBytes) / kPageBytes);
  static constexpr uint32_t kBytes = kFixedBytes + kStages * kPageBytes;
  static_assert(kStages >= 4 && kStages <= 5 && (2 * kStages + 2) * sizeof(Barrier) <= 256 && kColumns <= 64);

  uint8_t* base;
  __device__ Barrier& full(int stage) const { return reinterpret_cast<Barrier*>(base)[stage]; }
  __device__ Barrier& empty(int stage) const { return reinterpret_cast<Barrier*>(base)[kStages + stage]; }
  __device__ Barrier& query_full() const { return reinterpret_cast<Barrier*>(base)[2 * kStages]; }
  __device__ Barrier& query_empty() const { return reinterpret_cast<Barrier*>(base)[2 * kStages + 1]; }
  // [kColumns] each: the queries' scales; the maximum that exponents are relative to; the factor of earlier
  // sums. When a part ends: the factors of the parts before and of the part, and the sum of weights.
  __device__ float* query_scales() const { return reinterpret_cast<float*>(base + 256); }
  __device__ float* bases() const { return reinterpret_cast<float*>(base + 512); }
  __device__ float* shrink() const { return reinterpret_cast<float*>(base + 768); }
  __device__ float* before() const { return reinterpret_cast<float*>(base + 1024); }
  __device__ float* part() const { return reinterpret_cast<float*>(base + 1280); }
  __device__ float* sums() const { return reinterpret_cast<float*>(base + 1536); }
  // The largest score of the part and of the folded parts. With sums(), the state of the thread of a column.
  __device__ float* largest() const { return reinterpret_cast<float*>(base + 4096 + 1024); }
  __device__ float* folded_largest() const { return largest() + 64; }
  __device__ float* scales(int stage) const {
    return reinterpret_cast<float*>(base + 1792 + stage * kFp8ScaleBytes);
  }
  __device__ float* of_warps() const { return reinterpret_cast<float*>(base + 3072); }  // [kColumns][8 warps]
  __device__ uint8_t* query(int panel) const { return base + kHeadBytes + panel * kQueryPanelBytes; }
  __device__ uint8_t* weights() const { return query(kFp8Panels); }  // [kColumns][tokens of two pages]
  __device__ uint8_t* page(int stage) const { return query(kFp8Panels + 1) + stage * kPageBytes; }
};

template <int kColumns>
__device__ inline void LoadFp8Items(const MlaLaunch& launch, const MlaFp8Shared<kColumns>& shared) {
  using Shared = MlaFp8Shared<kColumns>;
  Ring<Shared::kStages> ring;
  Ring<1> query;
  for (int i = static_cast<int>(blockIdx.x); i < launch.counts[0]; i += static_cast<int>(gridDim.x)) {
    const MlaItem item = launch.items[i];
    Barrier& query_full = shared.query_full();
    Wait(shared.query_empty(), query.parity ^ 1);
    ArriveExpectBytes(query_full, kFp8Panels * Shared::kQueryPanelBytes + kColumns * sizeof(float));
    for (int p = 0; p < kFp8Panels - 1; ++p) {
      CopyBox(shared.query(p), launch.q_latent, p * kSwizzleBytes, item.head_begin, item.row, query_full,
              kEvictFirst);
    }
    CopyBox(shared.query(kFp8Panels - 1), launch.q_rope, 0, item.head_begin, item.row, query_full,
            kEvictFirst);
    CopyBox(shared.query_scales(), launch.q_scales, item.head_begin, item.row, 0, query_full, kEvictFirst);
    query.Next();
    for (int page = item.page_begin; page < item.page_end; ++page, ring.Next()) {
      const BlockId id = item.block_table[page];
      Barrier& full = shared.full(ring.stage);
      Wait(shared.empty(ring.stage), ring.parity ^ 1);
      ArriveExpectBytes(full, Shared::kPageBytes + kFp8ScaleBytes);
      for (int p = kFp8Panels - 1; p >= 0; --p) {
        CopyBox(shared.page(ring.stage) + p * kFp8PanelBytes, launch.cache, p * kSwizzleBytes, 0, id, full,
                kEvictNormal);
      }
      CopyBytes(shared.scales(ring.stage), launch.pages + int64_t{id} * kFp8PageBytes + Shared::kPageBytes,
                kFp8ScaleBytes, full, kEvictNormal);
    }
  }
}

}  // namespace deeprack::kernels::sm90
