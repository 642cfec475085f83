#include "kernels/api/int4_tiles.h"
#include "kernels/cuda/sm90/gemm_formats.h"
#include "kernels/cuda/sm90/gemm_launch.h"

namespace deeprack::kernels::sm90 {
namespace {

// The weights pass through registers: each lane's 32 bytes hold its operand of four instructions.
struct Int4E4M3Format : Int4Tiles {
  static constexpr int kBlockK = 128, kPanelK = 128, kXPanels = 1;
  static constexpr int kXScales = 2;

  // Two registers of four e4m3 each: (q - 7.5) / 256.
  __device__ static void Unpack(uint32_t word, uint32_t& first, uint32_t& second) {
    first = (word & 0x8e8e8e8eu) | 0x01010101u;
    second = ((word >> 3) & 0x0e0e0e0eu) | 0x01010101u | ((word << 7) & 0x80808080u);
  }

  // sums = over the groups of columns: (products of q - 7.5) * both scales + (7.5 - zero) * scale * sum of x.
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
      float scale[2], shift[2];  // for the rows `row` and row + 8
      uint32_t a[4][4];
#pragma unroll
      for (int high = 0; high < 2; ++high) {
        const float of_row = reinterpret_cast<const float*>(tile)[row + 8 * high];
        scale[high] = of_row * kInt4Unit;
        shift[high] = of_row * (kInt4Center - static_cast<float>(tile[kInt4ZeroOffset + row + 8 * high]));
        const Words4 words =
            reinterpret_cast<const Words4*>(tile + kInt4ValueOffset)[(panel * 2 + high) * kWarp + lane];
#pragma unroll
        for (int w = 0; w < 4; ++w)
          Unpack(words.w[w], a[high * 2 + w / 2][w % 2], a[high * 2 + w / 2][w % 2 + 2]);
      }
      const float* const x_scales = shared.scales(ring.stage) + lane % 4 * 2;
      const float* const x_sums = shared.sums(ring.stage) + lane % 4 * 2;
      // There are not enough registers for the products of 128 tokens.
      constexpr int kPart = kTokens < 64 ? kTokens : 64;
#pragma unroll
      for (int first = 0; first < kTokens; first += kPart) {
        const uint64_t x =
            KMajor(SharedAddress(shared.x(ring.stage)) + static_cast<uint32_t>(first) * kSwizzleBytes);
        float products[kPart / 2];
        FenceProducts();
#pragma unroll
        for (int step = 0; step < 4; ++step)
          ProductE4M3Registers<kPart>(products, a[step], Advance(x, step * 32), step > 0);
        CommitProducts();
        WaitProducts<0>();
        KeepInPlace(products);
#pragma unroll
        for (int i = 0; i < kPart / 8; ++i) {
          const Floats2 scales = *reinterpret_cast<const Floats2*>(x_scales + first + 8 * i);
          const Floats2 of_x = *reinterpret_cast<const Floats2*>(x_sums + first + 8 * i);
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            float& sum = sums[first / 2 + 4 * i + j];
            sum = fmaf(products[4 * i + j], scales.f[j % 2] * scale[j / 2],
                       fmaf(of_x.f[j % 2], shift[j / 2], sum));
          }
        }
      }
      Release(shared, ring.stage);
      ring.Next();
    }
  }
};

}  // namespace

void LaunchInt4E4M3(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution) {
  LaunchGemm<Int4E4M3Format>(tokens, blocks, launch, execution);
}

}  // namespace deeprack::kernels::sm90
