#include "kernels/cuda/sm90/mla.h"

#include "base/check.h"
#include "kernels/cuda/sm90/mla_kernel.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kMergeThreads = 128;
constexpr float kLog2E = 1.44269504f;

// blockIdx.x: the merge, blockIdx.y: the column of its tile. Folds the parts in order.
template <class O>
__global__ void MergeKernel(MlaLaunch launch) {
  BeginKernel();
  if (static_cast<int>(blockIdx.x) >= launch.counts[1]) return;
  const MlaMerge merge = launch.merges[blockIdx.x];
  const int column = static_cast<int>(blockIdx.y), columns = static_cast<int>(gridDim.y);
  const int row = column / launch.tile_heads;
  if (row >= merge.tokens) return;
  const int d = static_cast<int>(threadIdx.x) * 4;
  const int64_t first = int64_t{merge.first_partial} * columns + column;
  const Floats2* stats = reinterpret_cast<const Floats2*>(launch.partial_stats) + first;
  const float* sums = launch.partial_sums + first * kLatent + d;
  Floats4 folded = *reinterpret_cast<const Floats4*>(sums);
  float largest = stats->f[0], total = stats->f[1];
  for (int p = 1; p < merge.parts; ++p) {
    stats += columns;
    sums += columns * kLatent;
    const Floats4 part = *reinterpret_cast<const Floats4*>(sums);
    const Fold fold = FoldFactors(largest, stats->f[0]);
    largest = fold.largest;
    total = fmaf(stats->f[1], fold.part, total * fold.before);
    for (int i = 0; i < 4; ++i) folded.f[i] = fmaf(part.f[i], fold.part, folded.f[i] * fold.before);
  }
  O* const out = static_cast<O*>(launch.out) + (int64_t{merge.row} + row) * launch.out_stride +
                 int64_t{merge.head_begin + column % launch.tile_heads} * kLatent + d;
  const float inverse = 1.0f / total;
  for (int i = 0; i < 4; ++i) out[i] = FromFloat<O>(folded.f[i] * inverse);
}

}  // namespace

void Mla(const MlaArgs& args, const Execution& execution) {
  DR_CHECK(WhyNotMla(args.heads, kLatent, kRope) == nullptr);
  if (args.max_items == 0) return;
  const bool fp8 = args.q_latent.type == DType::kF8E4M3;
  const MlaTile& tile = args.tile;
  // 128 bytes of each query of a tile.
  const auto query_map = [&](const Matrix& q, int64_t offset, int64_t head_stride, int64_t width) {
    const auto size = static_cast<int64_t>(SizeOf(q.type));
    return EncodeTensorMap({static_cast<const uint8_t*>(q.data) + offset * size,
                            {width, args.heads, q.rows},
                            {head_stride * size, q.stride * size},
                            {static_cast<int32_t>(kSwizzleBytes / size), tile.heads, tile.tokens},
                            q.type,
                            true});
  };
  const TensorMapSpec pages{args.cache,
                            {kFp8EntryBytes, kPageTokens, args.cache_tokens / kPageTokens},
                            {kFp8EntryBytes, kFp8PageBytes},
                            {kSwizzleBytes, kPageTokens, 1},
                            DType::kU8,
                            true};
  MlaLaunch launch{
      .q_latent = query_map(args.q_latent, 0, kLatent, kLatent),
      .q_rope = query_map(args.q_rope, args.q_rope_offset, args.q_rope_head_stride, kRope),
      .cache = EncodeTensorMap(fp8 ? pages
                                   : MatrixMap(args.cache, DType::kBF16, args.cache_tokens, kLatent + kRope,
                                               kLatent + kRope, kPageTokens, 64, true)),
      .pages = static_cast<const uint8_t*>(args.cache),
      .items = args.items,
      .merges = args.merges,
      .counts = args.counts,
      .partial_sums = args.partial_sums,
      .partial_stats = args.partial_stats,
      .scratch = args.scratch,
      .out = args.out.data,
      .out_stride = args.out.stride,
      .scale = args.scale * kLog2E,
      .tile_heads = tile.heads,
      .out_bf16 = args.out.type == DType::kBF16,
  };
  DR_CHECK(!fp8 || (args.q_scales != nullptr && args.cache_tokens % kPageTokens == 0 &&
                    args.out.stride * static_cast<int64_t>(SizeOf(args.out.type)) % 16 == 0));
  const int64_t blocks = args.blocks > 0 ? args.blocks : 132;
  const dim3 grid(static_cast<unsigned>(args.max_items < blocks ? args.max_items : blocks));
  const auto with = [&]<int kColumns>() {
    LaunchWithShared(&MlaKernel<kColumns>, grid, kMlaThreads, MlaShared<kColumns>::kBytes, execution, launch);
  };
  if (fp8) {
    launch.q_scales = EncodeTensorMap({args.q_scales,
                                       {args.heads, args.q_latent.rows, 1},
                                       {args.heads * 4, args.heads * args.q_latent.rows * 4},
                                       {tile.heads, tile.tokens, 1},
                                       DType::kF32,
                                       false});
    LaunchMlaFp8(tile.columns(), grid, launch, execution);
  } else if (tile.columns() == 16) {
    with.template operator()<16>();
  } else if (tile.columns() == 32) {
    with.template operator()<32>();
  } else {
    DR_CHECK(tile.columns() == 64);
    with.template operator()<64>();
  }
  if (args.max_merges == 0) return;
  DispatchActivation(args.out.type, [&](auto out) {
    Launch(&MergeKernel<decltype(out)>,
           dim3(static_cast<unsigned>(args.max_merges), static_cast<unsigned>(tile.columns())), kMergeThreads,
           execution, launch);
  });
}

}  // namespace deeprack::kernels::sm90
