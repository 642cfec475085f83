// The last step of a product of interleaved gate and up whose output is the next product's input: SwiGLU, and
// e4m3 with a scale for each row and 128 columns of the intermediate (quantise.h). 128 columns are two tiles
// of W's rows, which a block sums one after the other; each thread keeps the first tile's values until the
// second's are there. Bit for bit what Quantise makes of the product's fp32 output.
#pragma once

#include "base/e4m3.h"
#include "kernels/cuda/sm90/quantise.h"
#include "kernels/cuda/sm90/wgmma.h"

namespace deeprack::kernels::sm90 {

__device__ inline float SwiGlu(float gate, float up) { return gate / (1.0f + expf(-gate)) * up; }

// values[h][i]: of half h of the block's 128 columns, in it column 8 * warp + lane / 4, of token
// AccumulatorColumn(lane, 4 * (i / 2) + i % 2) of the tile. Tokens at `first_token` and after it exist below
// `count`; token t is row first_row + t of out. By kThreads threads, all with 64 columns' warps; `space`: 160
// bytes for each token, aligned to 128. Holds two barriers, or three.
template <int kTokens, int kThreads>
__device__ inline void StoreQuantised(const QuantisedRows& out, int64_t cols, int64_t block,
                                      int64_t first_row, int first_token, int count, uint8_t* space,
                                      int thread, const float (&values)[2][kTokens / 4]) {
  constexpr int kColumns = 128, kWarps = kThreads / kWarp;
  static_assert(kWarps == 8 && kThreads >= kTokens);
  const int lane = thread % kWarp, warp = thread / kWarp;
  // A token's bytes, swizzled; behind them the largest value of each warp's columns. What one unit reads last
  // and the next writes first are different places.
  float* const largest_of = reinterpret_cast<float*>(space + kTokens * kColumns);  // [kTokens][kWarps]
#pragma unroll
  for (int i = 0; i < kTokens / 4; ++i) {
    float largest = fmaxf(fabsf(values[0][i]), fabsf(values[1][i]));
    for (int mask = 4; mask < kWarp; mask *= 2)
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, mask));
    if (lane < 4) largest_of[AccumulatorColumn(lane, 4 * (i / 2) + i % 2) * kWarps + warp] = largest;
  }
  SyncNamed(1, kThreads);  // also: the last unit's bytes have been read
  const auto largest_of_all = [&](int token) {
    const Floats4* const eight = reinterpret_cast<const Floats4*>(largest_of + token * kWarps);
    float largest = eight[0].f[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) largest = fmaxf(largest, eight[w / 4].f[w % 4]);
    return largest;
  };
#pragma unroll
  for (int i = 0; i < kTokens / 4; ++i) {
    const int token = AccumulatorColumn(lane, 4 * (i / 2) + i % 2);
    const float largest = largest_of_all(token);
    const float inverse = largest > 0.0f ? kLargestE4M3 / largest : 1.0f;
    const uint32_t two = FourE4M3(values[0][i] * inverse, values[1][i] * inverse, 0.0f, 0.0f);
    const auto at = static_cast<uint32_t>(token * kColumns + warp * 8 + lane / 4);
    space[Swizzle128(at)] = static_cast<uint8_t>(two);
    space[Swizzle128(at + kColumns / 2)] = static_cast<uint8_t>(two >> 8);
  }
  const auto scale_of = [&](int token) {
    const float largest = largest_of_all(token);
    return largest > 0.0f ? largest / kLargestE4M3 : 1.0f;
  };
  if (thread < kTokens && first_token + thread < count)
    out.scales[block * out.scale_stride + first_row + first_token + thread] = scale_of(thread);
  SyncNamed(1, kThreads);
  constexpr int kPieces = kColumns / 8;  // of a token's bytes, a lane each
  for (int i = thread; i < kTokens * kPieces; i += kThreads) {
    const int token = i / kPieces, within = i % kPieces * 8;
    const bool real = first_token + token < count;
    const int64_t row = first_row + first_token + token, column = block * kColumns + within;
    const Words2 bytes = *reinterpret_cast<const Words2*>(
        space + Swizzle128(static_cast<uint32_t>(token * kColumns + within)));
    if (real && column < cols) *reinterpret_cast<Words2*>(out.data + row * out.stride + column) = bytes;
    if (out.sums != nullptr) {  // columns beyond the last hold zeros
      float sum = 0.0f;
#pragma unroll
      for (int w = 0; w < 2; ++w) {
        const Floats4 four = FromFourE4M3(bytes.w[w]);
        sum += (four.f[0] + four.f[1]) + (four.f[2] + four.f[3]);
      }
      for (int mask = 1; mask < kPieces; mask *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
      if (real && within == 0) out.sums[block * out.scale_stride + row] = scale_of(token) * sum;
    }
  }
  if (out.sums != nullptr)
    SyncNamed(1, kThreads);  // the scales have been read before the next unit's are written
}

}  // namespace deeprack::kernels::sm90
