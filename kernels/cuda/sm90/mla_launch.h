// Shared by the kernels of latent attention: their argument, their first steps, and the folding of the parts
// of a tile's pages.
#pragma once

#include "kernels/cuda/sm90/hopper.h"
#include "kernels/cuda/sm90/mla.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kMlaMathThreads = 2 * kWarpgroup;
inline constexpr int kMlaThreads = kWarpgroup + kMlaMathThreads;

struct MlaLaunch {
  TensorMap q_latent;    // [m, heads, 512], boxes of 128 bytes x tile.heads x tile.tokens
  TensorMap q_rope;      // [m, heads, 64]
  TensorMap q_scales;    // fp8: [m, heads], boxes of tile.heads x tile.tokens
  TensorMap cache;       // bf16: [tokens, 576], boxes 64 x 64; fp8: [pages, 64, 640] bytes, boxes 128 x 64
  const uint8_t* pages;  // fp8: the cache again, for the scales
  const MlaItem* items;
  const MlaMerge* merges;
  const int32_t* counts;
  float* partial_sums;
  float* partial_stats;
  float* scratch;
  void* out;
  int64_t out_stride;
  float scale;  // times log2(e): weights are powers of 2
  int32_t tile_heads;
  bool out_bf16;
};

// Initialises the barriers and prefetches the tensor maps. `page_readers` warps release a page.
template <class Shared>
__device__ void BeginMla(const MlaLaunch& launch, const Shared& shared, uint32_t page_readers) {
  if (threadIdx.x == 0) {
    for (int s = 0; s < Shared::kStages; ++s) {
      InitBarrier(shared.full(s), 1);
      InitBarrier(shared.empty(s), page_readers);
    }
    InitBarrier(shared.query_full(), 1);
    InitBarrier(shared.query_empty(), kMlaMathThreads / kWarp);
    FenceBarrierInit();
    PrefetchMap(launch.q_latent);
    PrefetchMap(launch.q_rope);
    PrefetchMap(launch.cache);
  }
  __syncthreads();
  BeginKernel();
}

// The factors that fold a part into the parts before it: both are scaled to the larger of the two maxima. The
// merge kernel takes the same steps.
struct Fold {
  float largest, before, part;
};
__device__ inline Fold FoldFactors(float before, float part) {
  const float largest = fmaxf(before, part);
  return {largest, before == -INFINITY ? 0.0f : Exp2(before - largest),
          part == -INFINITY ? 0.0f : Exp2(part - largest)};
}

// Launches the first of Mla's two kernels for an fp8 cache, with at most `blocks` blocks.
void LaunchMlaFp8(int columns, dim3 grid, const MlaLaunch& launch, const Execution& execution);

}  // namespace deeprack::kernels::sm90
