// The kernel of the matrix product. The grid is persistent. In each block, one warp of the first warpgroup
// fills a ring of tiles by TMA, and two other warpgroups multiply 64 rows of W each.
#pragma once

#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/sm90/wgmma.h"

namespace deeprack::kernels::sm90 {

inline constexpr int kMathWarpgroups = 2;
inline constexpr int kMathThreads = kMathWarpgroups * kWarpgroup;
inline constexpr int kGemmThreads = kWarpgroup + kMathThreads;
inline constexpr int kMathWarps = kMathThreads / kWarp;
inline constexpr int kChunk = 32;  // tokens that a warp transposes at a time
// Floats from token to token: 16 features, padded against bank conflicts.
inline constexpr int kTurnPitch = 20;
inline constexpr uint32_t kTurnBytes = kMathWarps * kChunk * kTurnPitch * sizeof(float);

// The kernel's argument, made by the host from GemmArgs.
struct GemmLaunch {
  TensorMap weight;  // fp8: [groups, n, k] bytes, boxes 128 x 128; bf16: boxes 128 rows x 64
  TensorMap x;       // [rows, groups, k], boxes of 128 bytes of k, tokens rows
  TensorMap scales;  // fp8: [k / 128, rows], boxes of tokens
  TensorMap sums;    // int4 and fp8: the same
  const float* weight_scales;
  const uint8_t* tiles;  // int4
  const int32_t* offsets;
  void* out;
  float* partials;
  int* arrivals;
  int64_t out_stride, weight_scale_stride,
      tile_stride;  // weight_scale_stride, tile_stride: from group to group; tile_stride in bytes
  int32_t rows, n, k_blocks, groups, feature_tiles, splits;
  Grouping grouping;
  bool out_bf16, weights_stay;  // weights_stay: several token tiles read them
};

// Shared memory: the first row and the row count of each group, the barriers, the tiles, the scales, and the
// warps' space for transposing.
template <class Format, int kTokens>
struct GemmShared {
  static constexpr uint32_t kXBytes = kTokens * kSwizzleBytes * Format::kXPanels;
  static constexpr uint32_t kTokenBytes = (kTokens * sizeof(float) + 127) / 128 * 128;  // a float for each
  static constexpr uint32_t kScaleBytes = Format::kXScales * kTokenBytes;  // scales, or scales and sums
  static constexpr uint32_t kGroupBytes = kMaxGroups * 2 * sizeof(int32_t);
  static constexpr uint32_t kHeadBytes = kGroupBytes + 1024;  // barriers and a flag in the last 1024
  static constexpr uint32_t kStageBytes = Format::kWeightBytes + kXBytes + kScaleBytes;
  static constexpr uint32_t kStageCopied =
      Format::kWeightCopied + kXBytes + Format::kXScales * kTokens * uint32_t{sizeof(float)};
  static constexpr uint32_t kFixedBytes = kHeadBytes + kTurnBytes;
  static constexpr int kStages = static_cast<int>((kSharedBytes - kFixedBytes) / kStageBytes) < 12
                                     ? static_cast<int>((kSharedBytes - kFixedBytes) / kStageBytes)
                                     : 12;
  static constexpr uint32_t kBytes = kFixedBytes + kStages * kStageBytes;
  static_assert(kStages >= 4 && kGroupBytes % 1024 == 0 && Format::kWeightBytes % 1024 == 0 &&
                kXBytes % 1024 == 0);
  static_assert(2 * kStages * sizeof(Barrier) + sizeof(int) <= 1024);

  uint8_t* base;
  __device__ int32_t* groups() const { return reinterpret_cast<int32_t*>(base); }
  __device__ Barrier& full(int stage) const { return reinterpret_cast<Barrier*>(base + kGroupBytes)[stage]; }
  __device__ Barrier& empty(int stage) const {
    return reinterpret_cast<Barrier*>(base + kGroupBytes)[kStages + stage];
  }
  __device__ int& flag() const { return *reinterpret_cast<int*>(base + kHeadBytes - sizeof(int)); }
  __device__ uint8_t* weight(int stage) const { return base + kHeadBytes + stage * Format::kWeightBytes; }
  __device__ uint8_t* x(int stage) const { return weight(kStages) + stage * kXBytes; }
  __device__ float* scales(int stage) const {
    return reinterpret_cast<float*>(x(kStages) + stage * kScaleBytes);
  }
  __device__ float* sums(int stage) const { return scales(stage) + kTokenBytes / sizeof(float); }
  __device__ float* turn(int warp) const {
    return reinterpret_cast<float*>(x(kStages) + kStages * kScaleBytes) + warp * kChunk * kTurnPitch;
  }
};

// True when an earlier kernel wrote the groups' row offsets.
__device__ inline bool NeedsGroups(const GemmLaunch& launch) { return launch.grouping == Grouping::kRanges; }

// Writes each group's rows [first, first + count) to shared memory as pairs (first, count).
__device__ inline void LoadGroups(const GemmLaunch& launch, int32_t* groups) {
  for (int g = static_cast<int>(threadIdx.x); g < launch.groups; g += kGemmThreads) {
    int32_t first = 0, count = launch.rows;
    if (launch.grouping == Grouping::kRanges) {
      first = launch.offsets[g];
      count = launch.offsets[g + 1] - first;
    }
    groups[2 * g] = first;
    groups[2 * g + 1] = count;
  }
}

// Starts the copies of the weights of the block's first steps, one for each stage, before earlier kernels
// have ended: no kernel writes weights. Copies nothing if the first unit depends on an earlier kernel.
// Returns the number of steps.
template <class Format, int kTokens>
__device__ inline int WeightsAhead(const GemmLaunch& launch, const GemmShared<Format, kTokens>& shared,
                                   GemmWalk walk, int parts, uint64_t policy) {
  using Shared = GemmShared<Format, kTokens>;
  const auto rows_of = [&](int) { return launch.rows; };
  GemmUnit unit;
  if (NeedsGroups(launch) || !walk.Find(blockIdx.x, rows_of, unit)) return 0;
  const BlockRange range = SplitRange(launch.k_blocks, parts, unit.split);
  int ahead = 0;
  for (; ahead < Shared::kStages && range.begin + ahead < range.end; ++ahead) {
    ArriveExpectBytes(shared.full(ahead), Shared::kStageCopied);
    Format::CopyWeight(launch, shared.weight(ahead), unit, range.begin + ahead, shared.full(ahead), policy);
  }
  return ahead;
}

template <class Format, int kTokens>
__device__ inline void Produce(const GemmLaunch& launch, const GemmShared<Format, kTokens>& shared,
                               GemmWalk walk) {
  using Shared = GemmShared<Format, kTokens>;
  const int32_t* const groups = shared.groups();
  const auto rows_of = [&](int g) { return groups[2 * g + 1]; };
  const int parts = kTokens == 128 ? 1 : launch.splits;
  const uint64_t policy = launch.weights_stay ? kEvictLast : kEvictFirst;
  int ahead = WeightsAhead<Format, kTokens>(launch, shared, walk, parts, policy);
  WaitForPrevious();
  Ring<Shared::kStages> ring;
  GemmUnit unit;
  for (int64_t number = blockIdx.x; walk.Find(number, rows_of, unit); number += gridDim.x) {
    const int token = groups[2 * unit.group] + unit.token_tile * kTokens;
    const int x_group = launch.grouping == Grouping::kHeads ? unit.group : 0;
    const BlockRange range = SplitRange(launch.k_blocks, parts, unit.split);
    for (int b = range.begin; b < range.end; ++b) {
      Barrier& full = shared.full(ring.stage);
      if (ahead > 0) {
        --ahead;
      } else {
        Wait(shared.empty(ring.stage), ring.parity ^ 1);
        ArriveExpectBytes(full, Shared::kStageCopied);
        Format::CopyWeight(launch, shared.weight(ring.stage), unit, b, full, policy);
      }
      for (int p = 0; p < Format::kXPanels; ++p) {
        CopyBox(shared.x(ring.stage) + p * kTokens * kSwizzleBytes, launch.x,
                b * Format::kBlockK + p * Format::kPanelK, x_group, token, full, kEvictLast);
      }
      if constexpr (Format::kXScales >= 1) {
        CopyBox(shared.scales(ring.stage), launch.scales, token, b, 0, full, kEvictLast);
      }
      if constexpr (Format::kXScales == 2) {
        CopyBox(shared.sums(ring.stage), launch.sums, token, b, 0, full, kEvictLast);
      }
      ring.Next();
    }
  }
}

// This thread's sums of part 0 of the tile in the workspace. A part has kTokens / 8 * kMathThreads entries.
template <int kTokens>
__device__ inline Floats4* PartsOf(const GemmLaunch& launch, const GemmUnit& tile) {
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
  const int number = tile.feature_tile * tile.token_tiles + tile.token_tile;
  return reinterpret_cast<Floats4*>(launch.partials) +
         int64_t{number} * launch.splits * (kTokens / 8) * kMathThreads + thread;
}

template <int kTokens>
__device__ inline void KeepPart(const GemmLaunch& launch, const GemmUnit& tile,
                                const float (&sums)[kTokens / 2]) {
  Floats4* const part = PartsOf<kTokens>(launch, tile) + int64_t{tile.split} * (kTokens / 8) * kMathThreads;
#pragma unroll
  for (int i = 0; i < kTokens / 8; ++i)
    part[i * kMathThreads] = {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]};
}

// After KeepPart: true in the block whose part of the tile comes last.
__device__ inline bool IsLastPart(const GemmLaunch& launch, const GemmUnit& tile, int& flag) {
  ThreadFence();
  SyncNamed(1, kMathThreads);
  if (static_cast<int>(threadIdx.x) == kWarpgroup) {
    int* const arrivals = launch.arrivals + tile.feature_tile * tile.token_tiles + tile.token_tile;
    const bool last = AtomicAdd(arrivals, 1) == launch.splits - 1;
    if (last) *arrivals = 0;
    flag = last;
  }
  SyncNamed(1, kMathThreads);
  const bool last = flag != 0;
  SyncNamed(1, kMathThreads);  // the flag has been read before the next unit writes it
  ThreadFence();
  return last;
}

// The sums of all parts, in order.
template <int kTokens>
__device__ inline void AddParts(const GemmLaunch& launch, const GemmUnit& tile, float (&sums)[kTokens / 2]) {
  const Floats4* const parts = PartsOf<kTokens>(launch, tile);
  for (int s = 0; s < launch.splits; ++s) {
#pragma unroll
    for (int i = 0; i < kTokens / 8; ++i) {
      const Floats4 part = LoadThroughL2(parts + (s * (kTokens / 8) + i) * kMathThreads);
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[4 * i + j] = s == 0 ? part.f[j] : sums[4 * i + j] + part.f[j];
    }
  }
}

// Writes 16 neighbouring features of one token.
__device__ inline void StoreFeatures(const GemmLaunch& launch, int64_t at, const float (&values)[16]) {
  if (launch.out_bf16) {
    Words4* const out = reinterpret_cast<Words4*>(static_cast<bf16*>(launch.out) + at);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float* const v = values + 8 * i;
      out[i] = {TwoBF16(v[0], v[1]), TwoBF16(v[2], v[3]), TwoBF16(v[4], v[5]), TwoBF16(v[6], v[7])};
    }
  } else {
    Floats4* const out = reinterpret_cast<Floats4*>(static_cast<float*>(launch.out) + at);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      out[i] = {values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]};
  }
}

// Transposes each warp's 16 features x 32 tokens in shared memory, so that a lane writes one token's
// features.
template <int kTokens>
__device__ inline void Store(const GemmLaunch& launch, const GemmUnit& unit, int first_row, int count,
                             float* turn, const float (&sums)[kTokens / 2]) {
  constexpr int kTurned = kTokens < kChunk ? kTokens : kChunk;
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
  const int lane = thread % kWarp;
  const int panel = unit.feature_tile * static_cast<int>(kTileRows / kPanelRows) + thread / kWarp;
  if (panel * kPanelRows >= launch.n) return;
  const int64_t column = int64_t{panel} * kPanelRows +
                         (launch.grouping == Grouping::kHeads ? int64_t{unit.group} * launch.n : 0);
#pragma unroll
  for (int chunk = 0; chunk < kTokens; chunk += kTurned) {
    __syncwarp();  // the last chunk has been read
#pragma unroll
    for (int i = chunk / 2; i < (chunk + kTurned) / 2; i += 4) {
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        float* const at = turn + (AccumulatorColumn(lane, i + pair) - chunk) * kTurnPitch + lane / 4;
        at[0] = sums[i + pair];
        at[8] = sums[i + pair + 2];
      }
    }
    __syncwarp();
    const int token = unit.token_tile * kTokens + chunk + lane;
    if (lane < kTurned && token < count) {
      const float* const from = turn + lane * kTurnPitch;
      float values[16];
#pragma unroll
      for (int i = 0; i < 16; ++i) values[i] = from[i];
      StoreFeatures(launch, (int64_t{first_row} + token) * launch.out_stride + column, values);
    }
  }
}

// A tile's sums over the unit's part of K, or over all of it in the order of the parts.
template <class Format, int kTokens, class Shared, class Stages>
__device__ inline void SumTile(const GemmLaunch& launch, const Shared& shared, const GemmUnit& tile,
                               Stages& ring, float (&sums)[kTokens / 2]) {
  constexpr bool kSerialParts = kTokens == 128;
  if (kSerialParts && launch.splits > 1) {
    float part[kTokens / 2];
#pragma unroll 1
    for (int s = 0; s < launch.splits; ++s) {
      Format::template Sum<kTokens>(launch, shared, tile, SplitRange(launch.k_blocks, launch.splits, s), ring,
                                    part);
#pragma unroll
      for (int i = 0; i < kTokens / 2; ++i) sums[i] = s == 0 ? part[i] : sums[i] + part[i];
    }
  } else {
    const int parts = kSerialParts ? 1 : launch.splits;
    Format::template Sum<kTokens>(launch, shared, tile, SplitRange(launch.k_blocks, parts, tile.split), ring,
                                  sums);
  }
}

template <class Format, int kTokens>
__device__ inline void Multiply(const GemmLaunch& launch, const GemmShared<Format, kTokens>& shared,
                                GemmWalk walk) {
  using Shared = GemmShared<Format, kTokens>;
  constexpr bool kSerialParts = kTokens == 128;
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
  const int32_t* const groups = shared.groups();
  const auto rows_of = [&](int g) { return groups[2 * g + 1]; };
  const bool parts = !kSerialParts && launch.splits > 1;
  Ring<Shared::kStages> ring;
  GemmUnit unit;
  for (int64_t number = blockIdx.x; walk.Find(number, rows_of, unit); number += gridDim.x) {
    const int first_row = groups[2 * unit.group], count = groups[2 * unit.group + 1];
    float sums[kTokens / 2];
    SumTile<Format, kTokens>(launch, shared, unit, ring, sums);
    if (parts) {
      KeepPart<kTokens>(launch, unit, sums);
      if (!IsLastPart(launch, unit, shared.flag())) continue;
      AddParts<kTokens>(launch, unit, sums);
    }
    Store<kTokens>(launch, unit, first_row, count, shared.turn(thread / kWarp), sums);
  }
}

template <class Format, int kTokens>
__global__ void __launch_bounds__(kGemmThreads, 1) GemmKernel(const __grid_constant__ GemmLaunch launch) {
  using Shared = GemmShared<Format, kTokens>;
  const Shared shared{DynamicShared()};
  if (threadIdx.x == 0) {
    for (int s = 0; s < Shared::kStages; ++s) {
      InitBarrier(shared.full(s), 1);
      InitBarrier(shared.empty(s), kMathWarps);
    }
    FenceBarrierInit();
    PrefetchMap(launch.weight);
    PrefetchMap(launch.x);
  }
  LetNextBegin();
  if (NeedsGroups(launch)) WaitForPrevious();
  LoadGroups(launch, shared.groups());
  __syncthreads();
  const GemmWalk walk(launch.groups, launch.feature_tiles, kTokens == 128 ? 1 : launch.splits, kTokens);
  if (threadIdx.x < kWarpgroup) {
    LowerRegisters<40>();
    if (threadIdx.x == 0) Produce<Format, kTokens>(launch, shared, walk);
  } else {
    RaiseRegisters<232>();
    WaitForPrevious();  // the kernel before may still read the output
    Multiply<Format, kTokens>(launch, shared, walk);
  }
}

}  // namespace deeprack::kernels::sm90
