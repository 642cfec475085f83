// The kernel of latent attention with expanded keys (mla_prefill.h). A block takes 128 queries of one head.
// One warp of the first warpgroup loads; two other warpgroups take 64 queries each. The product of one step's
// values overlaps with the product of the next step's scores, and the next step's softmax follows at once.
#pragma once

#include "kernels/cuda/sm90/mla_launch.h"
#include "kernels/cuda/sm90/mla_prefill.h"
#include "kernels/cuda/sm90/wgmma.h"

namespace deeprack::kernels::sm90 {

struct PrefillLaunch {
  TensorMap q;     // [m, heads, 192], boxes of 64 x 1 x 128
  TensorMap kv;    // [n, heads, 256], boxes of 64 x 1 x 128
  TensorMap rope;  // [n, 64], boxes of 64 x 128
  const MlaPrefillItem* items;
  float* sums;
  float* stats;
  void* out;
  int64_t out_stride;
  float scale;  // times log2(e)
  int32_t heads;
  bool first, last, out_bf16;
};

// Panels of 128 rows x 64 values: three of queries, three of keys, two of values in each stage.
struct PrefillShared {
  static constexpr uint32_t kHeadBytes = 1024;
  static constexpr uint32_t kPanelBytes = kPrefillTile * kSwizzleBytes;
  static constexpr int kKeyPanels = kHeadQuery / 64, kValuePanels = kHeadValue / 64;
  static constexpr int kStages = 2;
  static constexpr uint32_t kBytes =
      kHeadBytes + (kKeyPanels + kStages * (kKeyPanels + kValuePanels)) * kPanelBytes;
  static_assert(kBytes <= kSharedBytes);

  uint8_t* base;
  __device__ Barrier& barrier(int i) const { return reinterpret_cast<Barrier*>(base)[i]; }
  __device__ Barrier& query_full() const { return barrier(0); }
  __device__ Barrier& keys_full(int stage) const { return barrier(1 + stage); }
  __device__ Barrier& keys_empty(int stage) const { return barrier(1 + kStages + stage); }
  __device__ Barrier& values_full(int stage) const { return barrier(1 + 2 * kStages + stage); }
  __device__ Barrier& values_empty(int stage) const { return barrier(1 + 3 * kStages + stage); }
  __device__ uint8_t* query(int panel) const { return base + kHeadBytes + panel * kPanelBytes; }
  __device__ uint8_t* keys(int stage) const { return query(kKeyPanels) + stage * kKeyPanels * kPanelBytes; }
  __device__ uint8_t* values(int stage) const { return keys(kStages) + stage * kValuePanels * kPanelBytes; }
};

__device__ inline void LoadPrefill(const PrefillLaunch& launch, const PrefillShared& shared,
                                   const MlaPrefillItem& item, int head) {
  constexpr uint32_t kPanelBytes = PrefillShared::kPanelBytes;
  ArriveExpectBytes(shared.query_full(), PrefillShared::kKeyPanels * kPanelBytes);
  for (int p = 0; p < PrefillShared::kKeyPanels; ++p)
    CopyBox(shared.query(p), launch.q, p * 64, head, item.row, shared.query_full(), kEvictFirst);
  Ring<PrefillShared::kStages> ring;
  for (int t = 0; t < item.kv_tiles; ++t, ring.Next()) {
    const int row = item.kv_row + t * kPrefillTile;
    uint8_t* const keys = shared.keys(ring.stage);
    Barrier& keys_full = shared.keys_full(ring.stage);
    Wait(shared.keys_empty(ring.stage), ring.parity ^ 1);
    ArriveExpectBytes(keys_full, PrefillShared::kKeyPanels * kPanelBytes);
    CopyBox(keys, launch.kv, 0, head, row, keys_full, kEvictLast);
    CopyBox(keys + kPanelBytes, launch.kv, 64, head, row, keys_full, kEvictLast);
    CopyBox(keys + 2 * kPanelBytes, launch.rope, 0, row, 0, keys_full, kEvictLast);
    Barrier& values_full = shared.values_full(ring.stage);
    Wait(shared.values_empty(ring.stage), ring.parity ^ 1);
    ArriveExpectBytes(values_full, PrefillShared::kValuePanels * kPanelBytes);
    for (int p = 0; p < PrefillShared::kValuePanels; ++p) {
      CopyBox(shared.values(ring.stage) + p * kPanelBytes, launch.kv, kHeadKey + p * 64, head, row,
              values_full, kEvictLast);
    }
  }
}

// One math thread's state: rows `row` and row + 8 of its warpgroup's 64 queries. Scores and output:
// accumulators, value i belongs to row + 8 * (i / 2 % 2).
struct PrefillMath {
  int half, warp, lane;
  int row;  // row of the tile
  float scores[kPrefillTile / 2];
  float out[kHeadValue / 2];
  float largest[2], sums[2];
};

// Issues the scores of a tile.
__device__ inline void ScorePrefill(const PrefillShared& shared, PrefillMath& math, int stage) {
  constexpr uint32_t kPanelBytes = PrefillShared::kPanelBytes;
  const uint32_t query =
      SharedAddress(shared.query(0)) + static_cast<uint32_t>(math.half) * 64 * kSwizzleBytes;
  const uint32_t keys = SharedAddress(shared.keys(stage));
  KeepInPlace(math.scores);
  FenceProducts();
#pragma unroll
  for (int p = 0; p < PrefillShared::kKeyPanels; ++p) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      ProductBF16<kPrefillTile, false, false>(math.scores, Advance(KMajor(query + p * kPanelBytes), k * 32),
                                              Advance(KMajor(keys + p * kPanelBytes), k * 32),
                                              p > 0 || k > 0);
    }
  }
  CommitProducts();
}

// Issues the product of weights and values of a tile and adds it to the output. weights[i] is the operand
// fragment of 16 keys.
__device__ inline void SumPrefill(const PrefillShared& shared, PrefillMath& math, int stage,
                                  const uint32_t (&weights)[kPrefillTile / 16][4]) {
  const uint64_t values = MnMajor(SharedAddress(shared.values(stage)), PrefillShared::kPanelBytes);
  KeepInPlace(math.out);
  FenceProducts();
#pragma unroll
  for (int k = 0; k < kPrefillTile / 16; ++k) {
    ProductBF16Registers<kHeadValue, true>(math.out, weights[k], Advance(values, k * 16 * kSwizzleBytes),
                                           true);
  }
  CommitProducts();
}

// Turns scores into weights, in place. `sees` is the number of the tile's keys that row `row` sees; row + 8
// sees 8 more. `shrink` gets the factors of the earlier sums.
__device__ inline void SoftenPrefill(PrefillMath& math, float scale, int sees, float (&shrink)[2]) {
  if (AnyInWarp(sees < kPrefillTile)) {
#pragma unroll
    for (int i = 0; i < kPrefillTile / 2; ++i) {
      if (AccumulatorColumn(math.lane, i) >= sees + i / 2 % 2 * 8) math.scores[i] = -INFINITY;
    }
  }
  float base[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float best = math.largest[h];
#pragma unroll
    for (int i = 0; i < kPrefillTile / 4; ++i) best = fmaxf(best, math.scores[i / 2 * 4 + h * 2 + i % 2]);
    for (int mask = 1; mask < 4; mask *= 2) best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, mask));
    shrink[h] = best == -INFINITY ? 1.0f : Exp2((math.largest[h] - best) * scale);
    base[h] = best == -INFINITY ? 0.0f : best * scale;
    math.largest[h] = best;
    math.sums[h] *= shrink[h];
  }
#pragma unroll
  for (int i = 0; i < kPrefillTile / 2; ++i) {
    const int h = i / 2 % 2;
    math.scores[i] = Exp2(fmaf(math.scores[i], scale, -base[h]));
    math.sums[h] += math.scores[i];
  }
}

// The accumulators of 16 keys are the operand fragment of the next product, rounded.
__device__ inline void RoundPrefill(const PrefillMath& math, uint32_t (&weights)[kPrefillTile / 16][4]) {
#pragma unroll
  for (int k = 0; k < kPrefillTile / 16; ++k) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int i = (2 * k + j / 2) * 4 + j % 2 * 2;
      weights[k][j] = uint32_t{ToBF16(math.scores[i]).bits} | uint32_t{ToBF16(math.scores[i + 1]).bits} << 16;
    }
  }
}

__device__ inline void AttendPrefill(const PrefillLaunch& launch, const PrefillShared& shared,
                                     PrefillMath& math, const MlaPrefillItem& item) {
  const auto release = [&](Barrier& barrier) {
    __syncwarp();
    if (math.lane == 0) Arrive(barrier);
  };
  int sees = item.position + math.row + 1 - item.kv_begin;
  uint32_t weights[kPrefillTile / 16][4];
  float shrink[2];
  Ring<PrefillShared::kStages> keys, values;
  Wait(shared.query_full(), 0);
  Wait(shared.keys_full(keys.stage), keys.parity);
  ScorePrefill(shared, math, keys.stage);
  WaitProducts<0>();
  KeepInPlace(math.scores);
  release(shared.keys_empty(keys.stage));
  keys.Next();
  SoftenPrefill(math, launch.scale, sees, shrink);  // nothing was summed before
  RoundPrefill(math, weights);
#pragma unroll 1
  for (int t = 1; t < item.kv_tiles; ++t) {
    Wait(shared.keys_full(keys.stage), keys.parity);
    ScorePrefill(shared, math, keys.stage);
    Wait(shared.values_full(values.stage), values.parity);
    SumPrefill(shared, math, values.stage, weights);
    WaitProducts<1>();
    KeepInPlace(math.scores);
    release(shared.keys_empty(keys.stage));
    keys.Next();
    sees -= kPrefillTile;
    SoftenPrefill(math, launch.scale, sees, shrink);
    WaitProducts<0>();
    KeepInPlace(math.out);
    release(shared.values_empty(values.stage));
    values.Next();
#pragma unroll
    for (int i = 0; i < kHeadValue / 2; ++i) math.out[i] *= shrink[i / 2 % 2];
    RoundPrefill(math, weights);
  }
  Wait(shared.values_full(values.stage), values.parity);
  SumPrefill(shared, math, values.stage, weights);
  WaitProducts<0>();
  KeepInPlace(math.out);
}

// Folds the span into the spans before it. Keeps the result or, with the last span, writes it to out.
__device__ inline void FinishPrefill(const PrefillLaunch& launch, PrefillMath& math,
                                     const MlaPrefillItem& item, int head) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = math.sums[h];
    for (int mask = 1; mask < 4; mask *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    const int row = math.row + 8 * h;
    const bool real = row < item.rows;
    const int64_t place = (int64_t{item.row} + row) * launch.heads + head;
    Floats2* const stats = reinterpret_cast<Floats2*>(launch.stats) + place;
    Fold fold = {math.largest[h] * launch.scale, 0.0f, 1.0f};
    if (!launch.first && real) {
      const Floats2 before = *stats;
      fold = FoldFactors(before.f[0], fold.largest);
      sum = fmaf(sum, fold.part, before.f[1] * fold.before);
    }
    __syncwarp();  // the four lanes of a row have read the stats that one of them overwrites
    if (!real) continue;
    if (!launch.last && math.lane % 4 == 0) *stats = {fold.largest, sum};
    const float inverse = 1.0f / sum;
#pragma unroll
    for (int i = 0; i < kHeadValue / 8; ++i) {
      float low = math.out[4 * i + 2 * h], high = math.out[4 * i + 2 * h + 1];
      const int column = AccumulatorColumn(math.lane, 4 * i);
      Floats2* const kept = reinterpret_cast<Floats2*>(launch.sums + place * kHeadValue + column);
      if (!launch.first) {
        const Floats2 before = *kept;
        low = fmaf(low, fold.part, before.f[0] * fold.before);
        high = fmaf(high, fold.part, before.f[1] * fold.before);
      }
      const int64_t at = (int64_t{item.row} + row) * launch.out_stride + int64_t{head} * kHeadValue + column;
      if (!launch.last) {
        *kept = {low, high};
      } else if (launch.out_bf16) {
        *reinterpret_cast<uint32_t*>(static_cast<bf16*>(launch.out) + at) =
            TwoBF16(low * inverse, high * inverse);
      } else {
        *reinterpret_cast<Floats2*>(static_cast<float*>(launch.out) + at) = {low * inverse, high * inverse};
      }
    }
  }
}

// blockIdx.x: the item, blockIdx.y: the head, so that blocks that read the same keys run together.
__global__ void __launch_bounds__(kMlaThreads, 1)
    PrefillKernel(const __grid_constant__ PrefillLaunch launch) {
  const PrefillShared shared{DynamicShared()};
  if (threadIdx.x == 0) {
    InitBarrier(shared.query_full(), 1);
    for (int s = 0; s < PrefillShared::kStages; ++s) {
      InitBarrier(shared.keys_full(s), 1);
      InitBarrier(shared.keys_empty(s), kMlaMathThreads / kWarp);
      InitBarrier(shared.values_full(s), 1);
      InitBarrier(shared.values_empty(s), kMlaMathThreads / kWarp);
    }
    FenceBarrierInit();
    PrefetchMap(launch.q);
    PrefetchMap(launch.kv);
    PrefetchMap(launch.rope);
  }
  __syncthreads();
  BeginKernel();
  const MlaPrefillItem item = launch.items[blockIdx.x];
  const int head = static_cast<int>(blockIdx.y);
  if (threadIdx.x < kWarpgroup) {
    LowerRegisters<24>();
    if (threadIdx.x == 0 && item.kv_tiles > 0) LoadPrefill(launch, shared, item, head);
  } else {
    RaiseRegisters<240>();
    const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
    PrefillMath math;
    math.half = thread / kWarpgroup;
    math.warp = thread % kWarpgroup / kWarp;
    math.lane = thread % kWarp;
    math.row = math.half * 64 + AccumulatorRow(thread % kWarpgroup, 0);
#pragma unroll
    for (int i = 0; i < kHeadValue / 2; ++i) math.out[i] = 0.0f;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      math.largest[h] = -INFINITY;
      math.sums[h] = 0.0f;
    }
    if (item.kv_tiles > 0) AttendPrefill(launch, shared, math, item);
    FinishPrefill(launch, math, item, head);
  }
}

}  // namespace deeprack::kernels::sm90
