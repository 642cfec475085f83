#include "kernels/cuda/sm90/mla_prefill.h"

#include "base/check.h"
#include "kernels/cuda/sm90/mla_prefill_kernel.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kGatherRows = 4;  // rows of a block; one warp takes one row
constexpr float kLog2E = 1.44269504f;

// Copies pieces of 16 bytes of bf16.
__global__ void GatherEntriesKernel(MlaGatherArgs args) {
  BeginKernel();
  const int64_t row = int64_t{blockIdx.x} * kGatherRows + threadIdx.x / kWarp;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  if (row >= args.latent.rows) return;
  constexpr int kLatentPieces = kLatent / 8, kPieces = (kLatent + kRope) / 8;
  const int64_t slot =
      row < args.tokens ? int64_t{args.block_table[row / kPageTokens]} * kPageTokens + row % kPageTokens : -1;
  const uint8_t* const page =
      static_cast<const uint8_t*>(args.cache) + (slot < 0 ? 0 : slot / kPageTokens * kFp8PageBytes);
  const uint8_t* const entry = page + (slot < 0 ? 0 : slot % kPageTokens * kFp8EntryBytes);
  for (int piece = lane; piece < kPieces; piece += kWarp) {
    Words4 words = {};
    if (slot >= 0 && !args.fp8) {
      words = static_cast<const Words4*>(args.cache)[slot * kPieces + piece];
    } else if (slot >= 0) {
      const float scale =
          reinterpret_cast<const float*>(page + kPageTokens * kFp8EntryBytes)[slot % kPageTokens];
      float values[8];
      if (piece < kLatentPieces) {
        const Words2 bytes = reinterpret_cast<const Words2*>(entry)[piece];
#pragma unroll
        for (int w = 0; w < 2; ++w) {
          const Floats4 four = FromFourE4M3(bytes.w[w]);
#pragma unroll
          for (int j = 0; j < 4; ++j) values[4 * w + j] = four.f[j];
        }
      } else {
        const bf16* const rope = reinterpret_cast<const bf16*>(entry + kLatent) + (piece - kLatentPieces) * 8;
#pragma unroll
        for (int j = 0; j < 8; ++j) values[j] = ToFloat(rope[j]);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) words.w[j] = TwoBF16(values[2 * j] * scale, values[2 * j + 1] * scale);
    }
    if (piece < kLatentPieces) {
      reinterpret_cast<Words4*>(args.latent.row<bf16>(row))[piece] = words;
    } else {
      reinterpret_cast<Words4*>(args.rope.row<bf16>(row))[piece - kLatentPieces] = words;
    }
  }
}

constexpr int kKvBTile = 32;  // rows and columns of a tile of a matrix that is transposed or copied
constexpr int kKvBThreads = 256;

// blockIdx.x is the tile of the head's [256, 512]: first the keys, whose source is transposed, then the
// values. blockIdx.y is the head.
__global__ void KvBKernel(MlaKvBArgs args) {
  __shared__ bf16 tile[kKvBTile][kKvBTile + 1];
  BeginKernel();
  constexpr int kColumns = kLatent / kKvBTile;
  const int row = static_cast<int>(blockIdx.x) / kColumns * kKvBTile;
  const int column = static_cast<int>(blockIdx.x) % kColumns * kKvBTile;
  const int thread = static_cast<int>(threadIdx.x);
  bf16* const out = args.kv_b + int64_t{blockIdx.y} * (kHeadKey + kHeadValue) * kLatent;
  if (row >= kHeadKey) {
    const bf16* const value = static_cast<const bf16*>(args.value) + blockIdx.y * args.value_stride;
    for (int i = thread; i < kKvBTile * kKvBTile; i += kKvBThreads) {
      const int r = row + i / kKvBTile, c = column + i % kKvBTile;
      out[r * kLatent + c] = value[(r - kHeadKey) * kLatent + c];
    }
    return;
  }
  const bf16* const key = static_cast<const bf16*>(args.key) + blockIdx.y * args.key_stride;
  for (int i = thread; i < kKvBTile * kKvBTile; i += kKvBThreads) {
    const int r = i % kKvBTile, c = i / kKvBTile;
    tile[r][c] = key[(column + c) * kHeadKey + row + r];
  }
  __syncthreads();
  for (int i = thread; i < kKvBTile * kKvBTile; i += kKvBThreads) {
    const int r = i / kKvBTile, c = i % kKvBTile;
    out[(row + r) * kLatent + column + c] = tile[r][c];
  }
}

}  // namespace

void MlaKvB(const MlaKvBArgs& args, const Execution& execution) {
  constexpr int kTiles = (kHeadKey + kHeadValue) / kKvBTile * (kLatent / kKvBTile);
  Launch(&KvBKernel, dim3(kTiles, static_cast<unsigned>(args.heads)), kKvBThreads, execution, args);
}

void MlaGather(const MlaGatherArgs& args, const Execution& execution) {
  DR_CHECK(args.latent.stride % 8 == 0 && args.rope.stride % 8 == 0 && args.rope.rows == args.latent.rows);
  if (args.latent.rows == 0) return;
  Launch(&GatherEntriesKernel,
         dim3(static_cast<unsigned>((args.latent.rows + kGatherRows - 1) / kGatherRows)), kGatherRows * kWarp,
         execution, args);
}

void MlaPrefill(const MlaPrefillArgs& args, const Execution& execution) {
  DR_CHECK((args.first && args.last) || (args.sums != nullptr && args.stats != nullptr));
  DR_CHECK(args.q.stride % 8 == 0 && args.kv.stride % 8 == 0 && args.rope.stride % 8 == 0 &&
           args.out.stride % 2 == 0);
  if (args.num_items == 0) return;
  const auto of_heads = [&](const Matrix& matrix, int64_t width) {
    return EncodeTensorMap({matrix.data,
                            {width, args.heads, matrix.rows},
                            {width * 2, matrix.stride * 2},
                            {64, 1, kPrefillTile},
                            DType::kBF16,
                            true});
  };
  const PrefillLaunch launch{
      .q = of_heads(args.q, kHeadQuery),
      .kv = of_heads(args.kv, kHeadKey + kHeadValue),
      .rope = EncodeTensorMap(MatrixMap(args.rope.data, DType::kBF16, args.rope.rows, kRope, args.rope.stride,
                                        kPrefillTile, 64, true)),
      .items = args.items,
      .sums = args.sums,
      .stats = args.stats,
      .out = args.out.data,
      .out_stride = args.out.stride,
      .scale = args.scale * kLog2E,
      .heads = static_cast<int32_t>(args.heads),
      .first = args.first,
      .last = args.last,
      .out_bf16 = args.out.type == DType::kBF16,
  };
  const dim3 grid(static_cast<unsigned>(args.num_items), static_cast<unsigned>(args.heads));
  LaunchWithShared(&PrefillKernel, grid, kMlaThreads, PrefillShared::kBytes, execution, launch);
}

}  // namespace deeprack::kernels::sm90
