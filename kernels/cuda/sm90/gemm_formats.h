// The formats of the matrix product: the contents of shared memory for a step of K, and the sums of a
// warpgroup over steps.
#pragma once

#include "kernels/api/int4_tiles.h"
#include "kernels/cuda/sm90/gemm_kernel.h"

namespace deeprack::kernels::sm90 {

// Called by all math threads when they have read the stage: the producer may fill it again.
template <class Shared>
__device__ inline void Release(const Shared& shared, int stage) {
  __syncwarp();
  if (threadIdx.x % kWarp == 0) Arrive(shared.empty(stage));
}

// Shared by the formats with row-major weights: a step of K is one box of 128 bytes of each row of W and of
// x.
template <int kElements>
struct RowTiles {
  static constexpr int kBlockK = kElements, kPanelK = kElements, kXPanels = 1;
  static constexpr uint32_t kWeightBytes = kTileRows * kSwizzleBytes, kWeightCopied = kWeightBytes;

  __device__ static void CopyWeight(const GemmLaunch& launch, uint8_t* to, const GemmUnit& unit, int block,
                                    Barrier& full, uint64_t policy) {
    CopyBox(to, launch.weight, block * kBlockK, unit.feature_tile * static_cast<int>(kTileRows), unit.group,
            full, policy);
  }
};

// kXScales: the number of floats for each token and step: 0, 1 (the scale) or 2 (the scale and the sum).
struct E4M3Format : RowTiles<128> {
  static constexpr int kXScales = 1;

  // sums = over the blocks: (e4m3 products of the block) * (scale of x * scale of W).
  template <int kTokens, class Shared, class Stages>
  __device__ static void Sum(const GemmLaunch& launch, const Shared& shared, const GemmUnit& unit,
                             BlockRange range, Stages& ring, float (&sums)[kTokens / 2]) {
    const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
    const int lane = thread % kWarp;
    const int panels = launch.n / static_cast<int>(kPanelRows);
    int panel = unit.feature_tile * static_cast<int>(kTileRows / kPanelRows) + thread / kWarp;
    if (panel >= panels) panel = panels - 1;  // rows that are not stored
    const float* const scales =
        launch.weight_scales + unit.group * launch.weight_scale_stride + int64_t{panel} * launch.k_blocks * 2;
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) sums[i] = 0.0f;
    float lane_low = 0.0f, lane_high = 0.0f;  // the scales of block range.begin + 32 * j + lane
    for (int b = range.begin; b < range.end; ++b) {
      const int within = (b - range.begin) % kWarp;
      if (within == 0 && b + lane < range.end) {
        lane_low = LoadConstant(scales + 2 * (b + lane));
        lane_high = LoadConstant(scales + 2 * (b + lane) + 1);
      }
      const float low = Shuffle(lane_low, within), high = Shuffle(lane_high, within);
      Wait(shared.full(ring.stage), ring.parity);
      const uint64_t w = KMajor(SharedAddress(shared.weight(ring.stage)) +
                                static_cast<uint32_t>(thread / kWarpgroup) * 64 * kSwizzleBytes);
      const uint64_t x = KMajor(SharedAddress(shared.x(ring.stage)));
      float products[kTokens / 2];
      FenceProducts();
#pragma unroll
      for (int j = 0; j < 4; ++j)
        ProductE4M3<kTokens>(products, Advance(w, j * 32), Advance(x, j * 32), j > 0);
      CommitProducts();
      WaitProducts<0>();
      KeepInPlace(products);
      const float* const x_scales = shared.scales(ring.stage) + lane % 4 * 2;
#pragma unroll
      for (int i = 0; i < kTokens / 8; ++i) {
        const Floats2 s = *reinterpret_cast<const Floats2*>(x_scales + 8 * i);
        sums[4 * i] = fmaf(products[4 * i], s.f[0] * low, sums[4 * i]);
        sums[4 * i + 1] = fmaf(products[4 * i + 1], s.f[1] * low, sums[4 * i + 1]);
        sums[4 * i + 2] = fmaf(products[4 * i + 2], s.f[0] * high, sums[4 * i + 2]);
        sums[4 * i + 3] = fmaf(products[4 * i + 3], s.f[1] * high, sums[4 * i + 3]);
      }
      Release(shared, ring.stage);
      ring.Next();
    }
  }
};

struct BF16Format : RowTiles<64> {
  static constexpr int kXScales = 0;

  // One sum over all blocks; one group of products is in flight while the next is issued.
  template <int kTokens, class Shared, class Stages>
  __device__ static void Sum(const GemmLaunch&, const Shared& shared, const GemmUnit&, BlockRange range,
                             Stages& ring, float (&sums)[kTokens / 2]) {
    const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
    int last = 0;
    for (int b = range.begin; b < range.end; ++b) {
      Wait(shared.full(ring.stage), ring.parity);
      const uint64_t w = KMajor(SharedAddress(shared.weight(ring.stage)) +
                                static_cast<uint32_t>(thread / kWarpgroup) * 64 * kSwizzleBytes);
      const uint64_t x = KMajor(SharedAddress(shared.x(ring.stage)));
      KeepInPlace(sums);
      FenceProducts();
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        ProductBF16<kTokens, false, false>(sums, Advance(w, j * 32), Advance(x, j * 32),
                                           b > range.begin || j > 0);
      }
      CommitProducts();
      WaitProducts<1>();
      if (b > range.begin) Release(shared, last);
      last = ring.stage;
      ring.Next();
    }
    WaitProducts<0>();
    KeepInPlace(sums);
    Release(shared, last);
  }
};

// Shared by the formats with int4 weights: one copy moves a tile.
struct Int4Tiles {
  static constexpr uint32_t kWeightBytes = 9216, kWeightCopied = kInt4TileBytes;
  static_assert(kWeightBytes >= kWeightCopied);

  __device__ static void CopyWeight(const GemmLaunch& launch, uint8_t* to, const GemmUnit& unit, int block,
                                    Barrier& full, uint64_t policy) {
    const int64_t tile = int64_t{unit.feature_tile} * launch.k_blocks + block;
    CopyBytes(to, launch.tiles + unit.group * launch.tile_stride + tile * kInt4TileBytes, kInt4TileBytes,
              full, policy);
  }
};

}  // namespace deeprack::kernels::sm90
