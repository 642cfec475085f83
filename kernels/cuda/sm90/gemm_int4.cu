#include "kernels/api/int4_tiles.h"
#include "kernels/cuda/sm90/gemm_formats.h"
#include "kernels/cuda/sm90/gemm_launch.h"

namespace deeprack::kernels::sm90 {
namespace {

// The weights pass through registers: each lane's 16 bytes hold its operand of four instructions.
struct Int4Format : Int4Tiles {
  static constexpr int kBlockK = 128, kPanelK = 64, kXPanels = 2;
  static constexpr int kXScales = 0;

  // sums = over the groups of columns: (products of q - zero, exact in bf16) * scale.
  template <int kTokens, class Shared, class Stages>
  __device__ static void Sum(const GemmLaunch&, const Shared& shared, const GemmUnit&, BlockRange range,
                             Stages& ring, float (&sums)[kTokens / 2]) {
    const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
    const int lane = thread % kWarp, panel = thread / kWarp;
    const int row = panel * 16 + lane / 4;
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) sums[i] = 0.0f;
    for (int b = range.begin; b < range.end; ++b) {
      Wait(shared.full(ring.stage), ring.parity);
      const uint8_t* const tile = shared.weight(ring.stage);
      const float low = reinterpret_cast<const float*>(tile)[row],
                  high = reinterpret_cast<const float*>(tile)[row + 8];
      // The bf16 value 128 + zero, in both halves of a word: 0x4300 is 128, and the last bit of a bf16 in
      // [128, 256) has the value 1.
      const uint32_t zeros[2] = {(0x4300u + tile[kInt4ZeroOffset + row]) * 0x10001u,
                                 (0x4300u + tile[kInt4ZeroOffset + row + 8]) * 0x10001u};
      // 128 tokens are taken 64 at a time. The registers of the first half's operands are free again before
      // the second half's operands are made: there are not enough registers for both.
      constexpr int kPart = kTokens < 64 ? kTokens : 64;
#pragma unroll
      for (int first = 0; first < kTokens; first += kPart) {
        const uint64_t x =
            KMajor(SharedAddress(shared.x(ring.stage)) + static_cast<uint32_t>(first) * kSwizzleBytes);
        float products[kPart / 2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const Words4 words =
              reinterpret_cast<const Words4*>(tile + kInt4ValueOffset)[(panel * 2 + half) * kWarp + lane];
          uint32_t a[4][4];
#pragma unroll
          for (int step = 0; step < 4; ++step) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              a[step][j] =
                  SubtractBF16x2(((words.w[step] >> (4 * j)) & 0x000f000fu) | 0x43004300u, zeros[j % 2]);
            }
          }
          FenceProducts();
#pragma unroll
          for (int step = 0; step < 4; ++step) {
            ProductBF16Registers<kPart>(products, a[step],
                                        Advance(x, half * (kTokens * kSwizzleBytes) + step * 32),
                                        half > 0 || step > 0);
          }
          CommitProducts();
          if constexpr (kTokens == 128) WaitProducts<0>();
        }
        WaitProducts<0>();
        KeepInPlace(products);
#pragma unroll
        for (int i = 0; i < kPart / 2; ++i) {
          sums[first / 2 + i] = fmaf(products[i], i / 2 % 2 == 0 ? low : high, sums[first / 2 + i]);
        }
      }
      Release(shared, ring.stage);
      ring.Next();
    }
  }
};

}  // namespace

void LaunchInt4(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution) {
  LaunchGemm<Int4Format>(tokens, blocks, launch, execution);
}

}  // namespace deeprack::kernels::sm90
