// The kernel of latent attention over a bf16 cache. The grid is persistent. One warp of the first warpgroup
// loads queries and pages. Two other warpgroups share a page: each warpgroup computes the scores of half of
// the columns and half of the output's latent dimensions.
#pragma once

#include "kernels/cuda/sm90/mla_launch.h"
#include "kernels/cuda/sm90/wgmma.h"

namespace deeprack::kernels::sm90 {

// Panels of 64 values (128 bytes) of a token's cache entry.
inline constexpr int kPanels = (kLatent + kRope) / 64;
inline constexpr uint32_t kPanelBytes = kPageTokens * kSwizzleBytes;

// Shared memory: barriers, some small exchanges, the queries, the weights, a ring of panels. A page is 9
// panels, the rope's first.
template <int kColumns>
struct MlaShared {
  static constexpr uint32_t kHeadBytes = 3072;
  static constexpr uint32_t kQueryPanelBytes = kColumns * kSwizzleBytes;
  static constexpr int kStages =
      static_cast<int>((kSharedBytes - kHeadBytes - (kPanels + 1) * kQueryPanelBytes) / kPanelBytes);
  static constexpr uint32_t kBytes = kHeadBytes + (kPanels + 1) * kQueryPanelBytes + kStages * kPanelBytes;
  static_assert(kStages >= 2 * kPanels && (2 * kStages + 2) * sizeof(Barrier) <= 512);

  uint8_t* base;
  __device__ Barrier& full(int stage) const { return reinterpret_cast<Barrier*>(base)[stage]; }
  __device__ Barrier& empty(int stage) const { return reinterpret_cast<Barrier*>(base)[kStages + stage]; }
  __device__ Barrier& query_full() const { return reinterpret_cast<Barrier*>(base)[2 * kStages]; }
  __device__ Barrier& query_empty() const { return reinterpret_cast<Barrier*>(base)[2 * kStages + 1]; }
  __device__ float* of_warps() const { return reinterpret_cast<float*>(base + 512); }  // [4][kColumns]
  __device__ float* shrink() const { return reinterpret_cast<float*>(base + 1536); }   // [kColumns]
  // Of the part that ends, and of the parts before it: largest score and sum of weights, [kColumns] each.
  __device__ float* part_largest() const { return reinterpret_cast<float*>(base + 1792); }
  __device__ float* folded_largest() const { return reinterpret_cast<float*>(base + 2048); }
  __device__ float* folded_sums() const { return reinterpret_cast<float*>(base + 2304); }
  __device__ uint8_t* query(int panel) const { return base + kHeadBytes + panel * kQueryPanelBytes; }
  __device__ uint8_t* weights() const { return query(kPanels); }  // [kColumns][64 tokens]
  __device__ uint8_t* panel(int stage) const { return query(kPanels + 1) + stage * kPanelBytes; }
};

// The panel of a cache entry that is the i-th to be loaded and multiplied.
constexpr int PanelInOrder(int i) { return i == 0 ? kPanels - 1 : i - 1; }

template <int kColumns>
__device__ inline void LoadItems(const MlaLaunch& launch, const MlaShared<kColumns>& shared) {
  Ring<MlaShared<kColumns>::kStages> ring;
  Ring<1> query;
  for (int i = static_cast<int>(blockIdx.x); i < launch.counts[0]; i += static_cast<int>(gridDim.x)) {
    const MlaItem item = launch.items[i];
    Wait(shared.query_empty(), query.parity ^ 1);
    ArriveExpectBytes(shared.query_full(), kPanels * MlaShared<kColumns>::kQueryPanelBytes);
    for (int p = 0; p < kPanels - 1; ++p) {
      CopyBox(shared.query(p), launch.q_latent, p * 64, item.head_begin, item.row, shared.query_full(),
              kEvictFirst);
    }
    CopyBox(shared.query(kPanels - 1), launch.q_rope, 0, item.head_begin, item.row, shared.query_full(),
            kEvictFirst);
    query.Next();
    for (int page = item.page_begin; page < item.page_end; ++page) {
      const int first_token = item.block_table[page] * static_cast<int>(kPageTokens);
      for (int p = 0; p < kPanels; ++p) {
        Wait(shared.empty(ring.stage), ring.parity ^ 1);
        ArriveExpectBytes(shared.full(ring.stage), kPanelBytes);
        CopyBox(shared.panel(ring.stage), launch.cache, PanelInOrder(p) * 64, first_token, 0,
                shared.full(ring.stage), kEvictNormal);
        ring.Next();
      }
    }
  }
}

// One math thread's state for an item. Its columns of the scores: column(j, e) of its warpgroup's half,
// tokens `token` and token + 8 of each page. Its share of the output: dimensions 64 (4 half + t) + token, +
// 8, of all columns.
template <int kColumns>
struct MlaMath {
  static constexpr int kHalf = kColumns / 2;

  int half, warp, lane;  // half: the warpgroup; warp: in it
  int token;             // in the page, and dimension within a panel
  float largest[kHalf / 4];
  float weight_sums[kHalf / 4];
  float out[4][kColumns / 2];
  Floats2 folded[kColumns / 4];  // largest score and sum of weights of the parts so far, of the thread's
                                 // columns of the output

  __device__ int score_column(int i) const { return half * kHalf + i / 2 * 8 + lane % 4 * 2 + i % 2; }
};

// Writes zeros in place of tokens that do not exist: their weights are zero, but zero times NaN is NaN.
template <int kColumns>
__device__ inline void ClearTokens(const MlaShared<kColumns>& shared, const MlaMath<kColumns>& math,
                                   int first_stage, int tokens) {
  const int thread = math.warp * kWarp + math.lane;
  for (int t = 0; t < 4; ++t) {
    Words4* const panel = reinterpret_cast<Words4*>(
        shared.panel((first_stage + 1 + math.half * 4 + t) % MlaShared<kColumns>::kStages));
    for (int i = tokens * 8 + thread; i < static_cast<int>(kPageTokens) * 8; i += kWarpgroup) panel[i] = {};
  }
}

// Computes the scores of one page and the softmax, and writes the weights to shared memory. `end` is the
// number of the page's tokens that the first token of the tile sees.
template <int kColumns>
__device__ inline void Weigh(const MlaLaunch& launch, const MlaShared<kColumns>& shared,
                             MlaMath<kColumns>& math, int end, const float (&scores)[kColumns / 4]) {
  constexpr int kHalf = kColumns / 2;
  float s[kHalf / 2];
#pragma unroll
  for (int i = 0; i < kHalf / 4; ++i) {
    const int sees = end + math.score_column(i) / launch.tile_heads;
    const float low = scores[i / 2 * 4 + i % 2] * launch.scale,
                high = scores[i / 2 * 4 + i % 2 + 2] * launch.scale;
    s[2 * i] = math.token < sees ? low : -INFINITY;
    s[2 * i + 1] = math.token + 8 < sees ? high : -INFINITY;
    float best = fmaxf(s[2 * i], s[2 * i + 1]);
    for (int mask = 4; mask < kWarp; mask *= 2) best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, mask));
    if (math.lane < 4) shared.of_warps()[math.warp * kColumns + math.score_column(i)] = best;
  }
  SyncNamed(1, kMlaMathThreads);  // also: everyone has multiplied the last page's weights
#pragma unroll
  for (int i = 0; i < kHalf / 4; ++i) {
    const int column = math.score_column(i);
    float best = math.largest[i];
    for (int w = 0; w < 4; ++w) best = fmaxf(best, shared.of_warps()[w * kColumns + column]);
    const float shrink = best == -INFINITY ? 1.0f : Exp2(math.largest[i] - best);
    math.largest[i] = best;
    if (math.warp == 0 && math.lane < 4) shared.shrink()[column] = shrink;
    const float low = s[2 * i] == -INFINITY ? 0.0f : Exp2(s[2 * i] - best);
    const float high = s[2 * i + 1] == -INFINITY ? 0.0f : Exp2(s[2 * i + 1] - best);
    math.weight_sums[i] = math.weight_sums[i] * shrink + (low + high);
    const uint32_t row = static_cast<uint32_t>(column) * kSwizzleBytes;
    // A multiple of 1024, so swizzling offsets is the same as swizzling addresses.
    uint8_t* const weights = shared.weights();
    const uint32_t two = TwoBF16(low, high);
    *reinterpret_cast<uint16_t*>(weights + Swizzle128(row + static_cast<uint32_t>(math.token) * 2)) =
        static_cast<uint16_t>(two);
    *reinterpret_cast<uint16_t*>(weights + Swizzle128(row + static_cast<uint32_t>(math.token + 8) * 2)) =
        static_cast<uint16_t>(two >> 16);
  }
}

template <int kColumns>
__device__ inline void AttendPage(const MlaLaunch& launch, const MlaShared<kColumns>& shared,
                                  MlaMath<kColumns>& math, Ring<MlaShared<kColumns>::kStages>& ring,
                                  const MlaItem& item, int page) {
  using Shared = MlaShared<kColumns>;
  constexpr int kHalf = kColumns / 2;
  const int first_stage = ring.stage;
  float scores[kHalf / 2];
  FenceProducts();
#pragma unroll
  for (int p = 0; p < kPanels; ++p) {
    Wait(shared.full(ring.stage), ring.parity);
    const uint64_t keys = KMajor(SharedAddress(shared.panel(ring.stage)));
    const uint64_t queries = KMajor(SharedAddress(shared.query(PanelInOrder(p))) +
                                    static_cast<uint32_t>(math.half * kHalf) * kSwizzleBytes);
#pragma unroll
    for (int k = 0; k < 4; ++k)
      ProductBF16<kHalf, false, false>(scores, Advance(keys, k * 32), Advance(queries, k * 32),
                                       p > 0 || k > 0);
    ring.Next();
  }
  CommitProducts();
  WaitProducts<0>();
  KeepInPlace(scores);
  if (page + 1 == item.page_end && math.lane == 0) Arrive(shared.query_empty());

  const int end = item.visible - page * static_cast<int>(kPageTokens);
  Weigh<kColumns>(launch, shared, math, end, scores);
  if (end + item.tokens - 1 < kPageTokens)
    ClearTokens<kColumns>(shared, math, first_stage, end + item.tokens - 1);
  FenceForAsync();
  SyncNamed(1, kMlaMathThreads);  // all weights are written, and no thread reads this page's keys any more

  float shrink[kColumns / 4];
  float smallest = 1.0f;
#pragma unroll
  for (int i = 0; i < kColumns / 4; ++i) {
    shrink[i] = shared.shrink()[i / 2 * 8 + math.lane % 4 * 2 + i % 2];
    smallest = fminf(smallest, shrink[i]);
  }
  if (AnyInWarp(smallest != 1.0f)) {
#pragma unroll
    for (int t = 0; t < 4; ++t) {
#pragma unroll
      for (int i = 0; i < kColumns / 2; ++i) math.out[t][i] *= shrink[i / 4 * 2 + i % 2];
    }
  }
  const uint64_t weights = KMajor(SharedAddress(shared.weights()));
  FenceProducts();
#pragma unroll
  for (int t = 0; t < 4; ++t) {
    const int stage = (first_stage + 1 + math.half * 4 + t) % Shared::kStages;
    const uint64_t values = MnMajor(SharedAddress(shared.panel(stage)), kPanelBytes);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      ProductBF16<kColumns, true, false>(math.out[t], Advance(values, k * 16 * kSwizzleBytes),
                                         Advance(weights, k * 32), true);
    }
  }
  CommitProducts();
  WaitProducts<0>();
#pragma unroll
  for (int t = 0; t < 4; ++t) KeepInPlace(math.out[t]);
  if (math.lane == 0) {
    if (math.half == 0) Arrive(shared.empty(first_stage));  // both halves have read the rope's panel
    for (int t = 0; t < 4; ++t) Arrive(shared.empty((first_stage + 1 + math.half * 4 + t) % Shared::kStages));
  }
}

// Ends a part: folds the part into the parts before it (each thread keeps these in its block's scratch), or
// stores a partial result, or writes the output.
template <int kColumns>
__device__ inline void FinishPart(const MlaLaunch& launch, const MlaShared<kColumns>& shared,
                                  MlaMath<kColumns>& math, const MlaItem& item, bool first, bool last) {
  constexpr int kHalf = kColumns / 2;
  float* const of_warps = shared.of_warps();
#pragma unroll
  for (int i = 0; i < kHalf / 4; ++i) {
    float sum = math.weight_sums[i];
    for (int mask = 4; mask < kWarp; mask *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    const int column = math.score_column(i);
    if (math.lane < 4) of_warps[math.warp * kColumns + column] = sum;
    if (math.lane < 4 && math.warp == 0) shared.part_largest()[column] = math.largest[i];
  }
  SyncNamed(1, kMlaMathThreads);
  const int thread = (math.half * 4 + math.warp) * kWarp + math.lane;
  float* const scratch = launch.scratch + int64_t{blockIdx.x} * kColumns * kLatent + thread;
#pragma unroll
  for (int i = 0; i < kColumns / 4; ++i) {
    const int column = i / 2 * 8 + math.lane % 4 * 2 + i % 2;
    float sum = of_warps[column] + of_warps[kColumns + column] + of_warps[2 * kColumns + column] +
                of_warps[3 * kColumns + column];
    Fold fold = {shared.part_largest()[column], 0.0f, 1.0f};
    if (!first) {
      fold = FoldFactors(shared.folded_largest()[column], fold.largest);
      sum = fmaf(sum, fold.part, shared.folded_sums()[column] * fold.before);
    }
    const float inverse = 1.0f / sum;
    const int row = column / launch.tile_heads;
    const bool real = row < item.tokens;
    const int64_t at = item.partial >= 0
                           ? (int64_t{item.partial} * kColumns + column) * kLatent
                           : (int64_t{item.row} + row) * launch.out_stride +
                                 int64_t{item.head_begin + column % launch.tile_heads} * kLatent;
#pragma unroll
    for (int t = 0; t < 4; ++t) {
#pragma unroll
      for (int high = 0; high < 2; ++high) {
        float value = math.out[t][i / 2 * 4 + high * 2 + i % 2];
        float* const kept = scratch + ((i * 4 + t) * 2 + high) * kMlaMathThreads;
        if (!first) value = fmaf(value, fold.part, *kept * fold.before);
        if (!last) {
          *kept = value;
        } else if (real) {
          const int64_t place = at + (math.half * 4 + t) * 64 + math.token + high * 8;
          if (item.partial >= 0) {
            launch.partial_sums[place] = value;
          } else if (launch.out_bf16) {
            static_cast<bf16*>(launch.out)[place] = ToBF16(value * inverse);
          } else {
            static_cast<float*>(launch.out)[place] = value * inverse;
          }
        }
      }
    }
    math.folded[i] = {fold.largest, sum};
  }
  SyncNamed(1, kMlaMathThreads);  // all threads have read the exchanges, so they may be overwritten
  // Eight threads of each warp hold the same columns. The threads of the first warp and row write them.
  if (math.half == 0 && math.warp == 0 && math.lane < 4) {
#pragma unroll
    for (int i = 0; i < kColumns / 4; ++i) {
      const int column = i / 2 * 8 + math.lane % 4 * 2 + i % 2;
      if (!last) {
        shared.folded_largest()[column] = math.folded[i].f[0];
        shared.folded_sums()[column] = math.folded[i].f[1];
      } else if (item.partial >= 0) {
        reinterpret_cast<Floats2*>(launch.partial_stats)[int64_t{item.partial} * kColumns + column] =
            math.folded[i];
      }
    }
  }
}

template <int kColumns>
__device__ inline void AttendItems(const MlaLaunch& launch, const MlaShared<kColumns>& shared) {
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
  MlaMath<kColumns> math;
  math.half = thread / kWarpgroup;
  math.warp = thread % kWarpgroup / kWarp;
  math.lane = thread % kWarp;
  math.token = AccumulatorRow(thread % kWarpgroup, 0);
  Ring<MlaShared<kColumns>::kStages> ring;
  Ring<1> query;
  for (int i = static_cast<int>(blockIdx.x); i < launch.counts[0]; i += static_cast<int>(gridDim.x)) {
    const MlaItem item = launch.items[i];
    Wait(shared.query_full(), query.parity);
    query.Next();
#pragma unroll 1
    for (int begin = item.page_begin; begin < item.page_end; begin += item.part_pages) {
#pragma unroll
      for (int c = 0; c < kColumns / 8; ++c) {
        math.largest[c] = -INFINITY;
        math.weight_sums[c] = 0.0f;
      }
#pragma unroll
      for (int t = 0; t < 4; ++t) {
#pragma unroll
        for (int c = 0; c < kColumns / 2; ++c) math.out[t][c] = 0.0f;
      }
      const int end = begin + item.part_pages < item.page_end ? begin + item.part_pages : item.page_end;
#pragma unroll 1
      for (int page = begin; page < end; ++page) AttendPage<kColumns>(launch, shared, math, ring, item, page);
      FinishPart<kColumns>(launch, shared, math, item, begin == item.page_begin, end == item.page_end);
    }
  }
}

template <int kColumns>
__global__ void __launch_bounds__(kMlaThreads, 1) MlaKernel(const __grid_constant__ MlaLaunch launch) {
  using Shared = MlaShared<kColumns>;
  const Shared shared{DynamicShared()};
  BeginMla(launch, shared, kWarpgroup / kWarp);
  if (threadIdx.x < kWarpgroup) {
    LowerRegisters<24>();
    if (threadIdx.x == 0) LoadItems<kColumns>(launch, shared);
  } else {
    RaiseRegisters<240>();
    AttendItems<kColumns>(launch, shared);
  }
}

}  // namespace deeprack::kernels::sm90
