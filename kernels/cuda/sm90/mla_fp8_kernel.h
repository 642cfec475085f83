// The kernel of latent attention over an fp8 cache (mla.h). The grid is persistent. One warp of the first
// warpgroup loads queries and whole pages. Two other warpgroups share two pages at a time: each warpgroup
// scores one page against all columns, and sums half of the output's latent dimensions over both pages.
//
// The softmax takes the maximum of score + log2(scale), not of the scores: values are multiplied by 2^score
// times the token's scale, and relative to the largest such product a weight stays in the range of e4m3.
#pragma once

#include "base/e4m3.h"
#include "kernels/cuda/sm90/mla_fp8_pages.h"
#include "kernels/cuda/sm90/wgmma.h"

namespace deeprack::kernels::sm90 {

inline constexpr float kWeightShift = 8.0f;  // the largest weight is e4m3(2^8)

// Two pages, or the last one alone.
template <int kColumns>
struct MlaFp8Step {
  int first, second;  // the stages of the two pages; equal for one page
  int pages;
  int end;     // tokens that the tile's first query token sees, counted from the first page's first
  int exists;  // and its last one: further tokens may be anything
};

// One math thread's state for an item. Scores: its warpgroup's page, tokens `token` and token + 8, columns
// score_column(i). Output: of those columns, dimensions `dimension` + 2 t + (0 or 1), t below 4.
template <int kColumns>
struct MlaFp8Math {
  int half, warp, lane;  // half: the warpgroup; warp: in it
  int thread;            // index in both warpgroups together
  int token, dimension;
  float weight_sums[kColumns / 8];  // sums of the columns sum_column(i), over four tokens of each page
  float out[4][kColumns / 2];

  __device__ int score_column(int i) const { return i / 2 * 8 + lane % 4 * 2 + i % 2; }
  // Two lanes with the same columns share their sums: the second takes the second of each pair of columns.
  __device__ bool second() const { return lane / 4 % 2 != 0; }
  __device__ int sum_column(int i) const { return i * 8 + lane % 4 * 2 + (second() ? 1 : 0); }
};

// Writes zeros in place of tokens that do not exist: their weights are zero, but zero times NaN is NaN.
template <int kColumns>
__device__ inline void ClearFp8Tokens(const MlaFp8Shared<kColumns>& shared, const MlaFp8Math<kColumns>& math,
                                      const MlaFp8Step<kColumns>& step) {
  if (math.half >= step.pages) return;
  uint8_t* const page = shared.page(math.half == 0 ? step.first : step.second);
  const int tokens = step.exists - math.half * static_cast<int>(kPageTokens);
  for (int p = 0; p < kFp8Panels - 1; ++p) {
    Words4* const panel = reinterpret_cast<Words4*>(page + p * kFp8PanelBytes);
    for (int i = (tokens < 0 ? 0 : tokens) * 8 + math.thread % kWarpgroup;
         i < static_cast<int>(kPageTokens) * 8; i += kWarpgroup)
      panel[i] = {};
  }
}

// Scores of the warpgroup's page. A missing second page is replaced by the first page, as tokens that no
// query sees.
template <int kColumns>
__device__ inline void ScoreFp8(const MlaFp8Shared<kColumns>& shared, int stage,
                                float (&scores)[kColumns / 2]) {
  const uint32_t page = SharedAddress(shared.page(stage)), query = SharedAddress(shared.query(0));
  constexpr uint32_t kQueryBytes = MlaFp8Shared<kColumns>::kQueryPanelBytes;
  FenceProducts();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    ProductBF16<kColumns, false, false>(
        scores, Advance(KMajor(page + (kFp8Panels - 1) * kFp8PanelBytes), k * 32),
        Advance(KMajor(query + (kFp8Panels - 1) * kQueryBytes), k * 32), k > 0);
  }
  FenceProducts();  // products of another shape into the same registers
#pragma unroll
  for (int p = 0; p < kFp8Panels - 1; ++p) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      ProductE4M3<kColumns>(scores, Advance(KMajor(page + p * kFp8PanelBytes), k * 32),
                            Advance(KMajor(query + p * kQueryBytes), k * 32), true);
    }
  }
  CommitProducts();
  WaitProducts<0>();
  KeepInPlace(scores);
}

// Byte of a block of 16 tokens' weights at which token t of it stands: an operand fragment's four consecutive
// bytes belong to tokens 2 q, 2 q + 1, 2 q + 8 and 2 q + 9, so that a warp's loads of their values meet no
// shared-memory bank twice. The values are taken in the same order (LoadValues).
constexpr int WeightByte(int t) { return t % 8 / 2 * 4 + t % 2 + t / 8 * 2; }

// Softmax of the step, weights to shared memory. Has three barriers.
template <int kColumns>
__device__ inline void WeighFp8(const MlaLaunch& launch, const MlaFp8Shared<kColumns>& shared,
                                MlaFp8Math<kColumns>& math, const MlaFp8Step<kColumns>& step,
                                bool last_of_item, float (&scores)[kColumns / 2]) {
  const int first = math.half * static_cast<int>(kPageTokens) + math.token;  // counted as `end` is
  const float* const scales = shared.scales(math.half == 0 ? step.first : step.second) + math.token;
  const float low_scale = first < step.exists ? scales[0] : 1.0f,
              high_scale = first + 8 < step.exists ? scales[8] : 1.0f;
  const auto low_exponent = static_cast<float>(ExponentOf(low_scale)),
             high_exponent = static_cast<float>(ExponentOf(high_scale));
#pragma unroll
  for (int i = 0; i < kColumns / 8; ++i) {
    const Floats2 factors =
        *reinterpret_cast<const Floats2*>(shared.query_scales() + math.score_column(2 * i));
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float factor = factors.f[j] * launch.scale;
      scores[4 * i + j] = fmaf(scores[4 * i + j], factor * low_scale, low_exponent);
      scores[4 * i + j + 2] = fmaf(scores[4 * i + j + 2], factor * high_scale, high_exponent);
    }
  }
  if (last_of_item && math.lane == 0) Arrive(shared.query_empty());
  if (step.end < 2 * static_cast<int>(kPageTokens)) {
#pragma unroll
    for (int i = 0; i < kColumns / 4; ++i) {
      const int sees = step.end + math.score_column(i) / launch.tile_heads;
      if (first >= sees) scores[i / 2 * 4 + i % 2] = -INFINITY;
      if (first + 8 >= sees) scores[i / 2 * 4 + i % 2 + 2] = -INFINITY;
    }
  }
#pragma unroll
  for (int i = 0; i < kColumns / 4; ++i) {
    float best = fmaxf(scores[i / 2 * 4 + i % 2], scores[i / 2 * 4 + i % 2 + 2]);
    for (int mask = 4; mask < kWarp; mask *= 2) best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, mask));
    if (math.lane < 4) shared.of_warps()[math.score_column(i) * 8 + math.half * 4 + math.warp] = best;
  }
  SyncNamed(1, kMlaMathThreads);  // also: everyone has multiplied the last step's weights
  if (math.thread < kColumns) {
    const Floats4* const eight = reinterpret_cast<const Floats4*>(shared.of_warps() + math.thread * 8);
    const float before = shared.largest()[math.thread];
    float best = before;
#pragma unroll
    for (int i = 0; i < 8; ++i) best = fmaxf(best, eight[i / 4].f[i % 4]);
    shared.shrink()[math.thread] = best == -INFINITY ? 1.0f : Exp2(before - best);
    shared.bases()[math.thread] = (best == -INFINITY ? 0.0f : best) - kWeightShift;
    shared.largest()[math.thread] = best;
  }
  if (step.exists < step.pages * static_cast<int>(kPageTokens)) ClearFp8Tokens<kColumns>(shared, math, step);
  SyncNamed(1, kMlaMathThreads);
  const float low_inverse = PowerOfTwo(-ExponentOf(low_scale)),
              high_inverse = PowerOfTwo(-ExponentOf(high_scale));
  const bool second = math.second();
  // Of this lane's words: 8 columns further on is a whole period of the swizzle.
  uint8_t* const words =
      shared.weights() +
      Swizzle128(static_cast<uint32_t>(math.sum_column(0) * kSwizzleBytes + (math.half * 4 + math.warp) * 16 +
                                       WeightByte(math.lane / 4 / 2 * 2)));
#pragma unroll
  for (int i = 0; i < kColumns / 8; ++i) {
    const Floats2 bases = *reinterpret_cast<const Floats2*>(shared.bases() + math.score_column(2 * i));
    float sums[2];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float& low = scores[4 * i + j];
      float& high = scores[4 * i + j + 2];
      low = Exp2(low - bases.f[j]);
      high = Exp2(high - bases.f[j]);
      sums[j] = fmaf(high, high_inverse, low * low_inverse);
    }
    const float more =
        (second ? sums[1] : sums[0]) + __shfl_xor_sync(0xffffffffu, second ? sums[0] : sums[1], 4);
    math.weight_sums[i] = fmaf(math.weight_sums[i], shared.shrink()[math.sum_column(i)], more);
    // Two tokens of two columns; with the lane of the next row, four tokens of one: a word.
    const uint32_t own = FourE4M3(scores[4 * i], scores[4 * i + 2], scores[4 * i + 1], scores[4 * i + 3]);
    const uint32_t other = __shfl_xor_sync(0xffffffffu, own, 4);
    *reinterpret_cast<uint32_t*>(words + i * kSwizzleAtom) =
        second ? PickBytes(own, other, 0x3726) : PickBytes(own, other, 0x5140);
  }
  FenceForAsync();
  SyncNamed(1, kMlaMathThreads);
}

// Rows of four bytes to columns.
__device__ inline void Transpose(const uint32_t (&rows)[4], uint32_t (&columns)[4]) {
  const uint32_t a = PickBytes(rows[0], rows[1], 0x5140), b = PickBytes(rows[2], rows[3], 0x5140);
  const uint32_t c = PickBytes(rows[0], rows[1], 0x7362), d = PickBytes(rows[2], rows[3], 0x7362);
  columns[0] = PickBytes(a, b, 0x5410);
  columns[1] = PickBytes(a, b, 0x7632);
  columns[2] = PickBytes(c, d, 0x5410);
  columns[3] = PickBytes(c, d, 0x7632);
}

// V^T of 32 tokens and the warp's 64 dimensions, as operand fragments of four products.
template <int kColumns>
__device__ inline void LoadValues(const MlaFp8Shared<kColumns>& shared, const MlaFp8Math<kColumns>& math,
                                  int stage, int token_begin, uint32_t (&a)[4][4]) {
  const uint8_t* const panel =
      shared.page(stage) + math.dimension / kSwizzleBytes * kFp8PanelBytes + token_begin * kSwizzleBytes;
#pragma unroll
  for (int b = 0; b < 2; ++b) {
    Words2 rows[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      rows[i] = *reinterpret_cast<const Words2*>(
          panel + (2 * b + i / 2) * kSwizzleAtom +
          Swizzle128(static_cast<uint32_t>((math.lane % 4 * 2 + i % 2) * kSwizzleBytes +
                                           math.dimension % kSwizzleBytes)));
    }
#pragma unroll
    for (int w = 0; w < 2; ++w) {
      const uint32_t of_tokens[4] = {rows[0].w[w], rows[1].w[w], rows[2].w[w], rows[3].w[w]};
      uint32_t of_dimensions[4];
      Transpose(of_tokens, of_dimensions);
#pragma unroll
      for (int j = 0; j < 4; ++j) a[2 * w + j / 2][2 * b + j % 2] = of_dimensions[j];
    }
  }
}

template <int kColumns>
__device__ inline void AttendFp8Step(const MlaLaunch& launch, const MlaFp8Shared<kColumns>& shared,
                                     MlaFp8Math<kColumns>& math, Ring<MlaFp8Shared<kColumns>::kStages>& ring,
                                     const MlaItem& item, int page, int pages) {
  MlaFp8Step<kColumns> step;
  step.pages = pages;
  step.first = step.second = ring.stage;
  step.end = item.visible - page * static_cast<int>(kPageTokens);
  step.exists = step.end + item.tokens - 1;
  Wait(shared.full(ring.stage), ring.parity);
  ring.Next();
  if (pages == 2) {
    step.second = ring.stage;
    Wait(shared.full(ring.stage), ring.parity);
    ring.Next();
  }
  {
    float scores[kColumns / 2];
    ScoreFp8<kColumns>(shared, math.half == 0 ? step.first : step.second, scores);
    WeighFp8<kColumns>(launch, shared, math, step, page + pages == item.page_end, scores);
  }
  float smallest = 1.0f;
#pragma unroll
  for (int i = 0; i < kColumns / 4; ++i) smallest = fminf(smallest, shared.shrink()[math.score_column(i)]);
  if (AnyInWarp(smallest != 1.0f)) {
#pragma unroll
    for (int i = 0; i < kColumns / 4; ++i) {
      const float shrink = shared.shrink()[math.score_column(i)];
#pragma unroll
      for (int t = 0; t < 4; ++t) {
        math.out[t][i / 2 * 4 + i % 2] *= shrink;
        math.out[t][i / 2 * 4 + i % 2 + 2] *= shrink;
      }
    }
  }
  // While 32 tokens are multiplied, the next 32 are turned.
  const uint64_t weights = KMajor(SharedAddress(shared.weights()));
  uint32_t a[2][4][4];
  LoadValues<kColumns>(shared, math, step.first, 0, a[0]);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    FenceProducts();
#pragma unroll
    for (int t = 0; t < 4; ++t)
      ProductE4M3Registers<kColumns>(math.out[t], a[k % 2][t], Advance(weights, k * 32), true);
    CommitProducts();
    if (k == 3) break;
    WaitProducts<1>();  // the products before the last have read their fragments
    LoadValues<kColumns>(shared, math, k == 0 ? step.first : step.second, (k + 1) % 2 * 32, a[(k + 1) % 2]);
  }
  WaitProducts<0>();
#pragma unroll
  for (int t = 0; t < 4; ++t) KeepInPlace(math.out[t]);
  if (math.lane == 0) {
    Arrive(shared.empty(step.first));
    if (pages == 2) Arrive(shared.empty(step.second));
  }
}

// Eight neighbouring values of the output.
__device__ inline void StoreEight(const MlaLaunch& launch, int64_t at, const float (&v)[8]) {
  if (launch.out_bf16) {
    *reinterpret_cast<Words4*>(static_cast<bf16*>(launch.out) + at) = {
        TwoBF16(v[0], v[1]), TwoBF16(v[2], v[3]), TwoBF16(v[4], v[5]), TwoBF16(v[6], v[7])};
  } else {
    Floats4* const out = reinterpret_cast<Floats4*>(static_cast<float*>(launch.out) + at);
    out[0] = {v[0], v[1], v[2], v[3]};
    out[1] = {v[4], v[5], v[6], v[7]};
  }
}

// Ends a part: folds the part into the parts before it (each thread keeps these in its block's scratch), or
// stores a partial result, or writes the output. Sums and weights are both scaled by 2^8.
template <int kColumns>
__device__ inline void FinishFp8Part(const MlaLaunch& launch, const MlaFp8Shared<kColumns>& shared,
                                     MlaFp8Math<kColumns>& math, const MlaItem& item, bool first, bool last) {
#pragma unroll
  for (int i = 0; i < kColumns / 8; ++i) {
    float sum = math.weight_sums[i];
    for (int mask = 8; mask < kWarp; mask *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    if (math.lane < 8) shared.of_warps()[math.sum_column(i) * 8 + math.half * 4 + math.warp] = sum;
  }
  SyncNamed(1, kMlaMathThreads);
  if (math.thread < kColumns) {
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < 8; ++w) sum += shared.of_warps()[math.thread * 8 + w];
    Fold fold = {shared.largest()[math.thread], 0.0f, 1.0f};
    if (!first) {
      fold = FoldFactors(shared.folded_largest()[math.thread], fold.largest);
      sum = fmaf(sum, fold.part, shared.sums()[math.thread] * fold.before);
    }
    shared.folded_largest()[math.thread] = fold.largest;
    shared.largest()[math.thread] = -INFINITY;
    shared.before()[math.thread] = fold.before;
    shared.part()[math.thread] = fold.part;
    shared.sums()[math.thread] = sum;
    if (last && item.partial >= 0) {
      reinterpret_cast<Floats2*>(launch.partial_stats)[int64_t{item.partial} * kColumns + math.thread] = {
          fold.largest, sum};
    }
  }
  SyncNamed(1, kMlaMathThreads);  // until two more barriers nothing is written there again
  Floats4* const scratch =
      reinterpret_cast<Floats4*>(launch.scratch) + int64_t{blockIdx.x} * kColumns * kLatent / 4 + math.thread;
#pragma unroll
  for (int i = 0; i < kColumns / 4; ++i) {
    const int column = math.score_column(i);
    float values[8];
#pragma unroll
    for (int d = 0; d < 8; ++d) values[d] = math.out[d / 2][i / 2 * 4 + d % 2 * 2 + i % 2];
    Floats4* const kept = scratch + i * 2 * kMlaMathThreads;
    if (!first) {
      const float part = shared.part()[column], before = shared.before()[column];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const Floats4 folded = kept[h * kMlaMathThreads];
#pragma unroll
        for (int d = 0; d < 4; ++d) values[4 * h + d] = fmaf(values[4 * h + d], part, folded.f[d] * before);
      }
    }
    const int row = column / launch.tile_heads;
    if (!last) {
      kept[0] = {values[0], values[1], values[2], values[3]};
      kept[kMlaMathThreads] = {values[4], values[5], values[6], values[7]};
    } else if (row < item.tokens) {
      if (item.partial >= 0) {
        Floats4* const partial = reinterpret_cast<Floats4*>(
            launch.partial_sums + (int64_t{item.partial} * kColumns + column) * kLatent + math.dimension);
        partial[0] = {values[0], values[1], values[2], values[3]};
        partial[1] = {values[4], values[5], values[6], values[7]};
      } else {
        const float inverse = 1.0f / shared.sums()[column];
#pragma unroll
        for (int d = 0; d < 8; ++d) values[d] *= inverse;
        StoreEight(launch,
                   (int64_t{item.row} + row) * launch.out_stride +
                       int64_t{item.head_begin + column % launch.tile_heads} * kLatent + math.dimension,
                   values);
      }
    }
  }
}

template <int kColumns>
__device__ inline void AttendFp8Items(const MlaLaunch& launch, const MlaFp8Shared<kColumns>& shared) {
  MlaFp8Math<kColumns> math;
  math.thread = static_cast<int>(threadIdx.x) - kWarpgroup;
  math.half = math.thread / kWarpgroup;
  math.warp = math.thread % kWarpgroup / kWarp;
  math.lane = math.thread % kWarp;
  math.token = AccumulatorRow(math.thread % kWarpgroup, 0);
  math.dimension = math.half * 256 + math.warp * 64 + math.lane / 4 * 8;
  if (math.thread < kColumns) shared.largest()[math.thread] = -INFINITY;
  Ring<MlaFp8Shared<kColumns>::kStages> ring;
  Ring<1> query;
  for (int i = static_cast<int>(blockIdx.x); i < launch.counts[0]; i += static_cast<int>(gridDim.x)) {
    const MlaItem item = launch.items[i];
    Wait(shared.query_full(), query.parity);
    query.Next();
#pragma unroll 1
    for (int begin = item.page_begin; begin < item.page_end; begin += item.part_pages) {
#pragma unroll
      for (int c = 0; c < kColumns / 8; ++c) math.weight_sums[c] = 0.0f;
#pragma unroll
      for (int t = 0; t < 4; ++t) {
#pragma unroll
        for (int c = 0; c < kColumns / 2; ++c) math.out[t][c] = 0.0f;
      }
      const int end = begin + item.part_pages < item.page_end ? begin + item.part_pages : item.page_end;
#pragma unroll 1
      for (int page = begin; page < end; page += 2) {
        AttendFp8Step<kColumns>(launch, shared, math, ring, item, page, end - page < 2 ? 1 : 2);
      }
      FinishFp8Part<kColumns>(launch, shared, math, item, begin == item.page_begin, end == item.page_end);
    }
  }
}

template <int kColumns>
__global__ void __launch_bounds__(kMlaThreads, 1) MlaFp8Kernel(const __grid_constant__ MlaLaunch launch) {
  using Shared = MlaFp8Shared<kColumns>;
  const Shared shared{DynamicShared()};
  BeginMla(launch, shared, kMlaMathThreads / kWarp);
  if (threadIdx.x < kWarpgroup) {
    LowerRegisters<24>();
    if (threadIdx.x == 0) LoadFp8Items<kColumns>(launch, shared);
  } else {
    RaiseRegisters<240>();
    AttendFp8Items<kColumns>(launch, shared);
  }
}

}  // namespace deeprack::kernels::sm90
