#include "kernels/cuda/sm90/gemm.h"

#include "base/check.h"
#include "kernels/api/int4_tiles.h"
#include "kernels/cuda/sm90/gemm_launch.h"

namespace deeprack::kernels::sm90 {
namespace {

int64_t ElementBytes(DType type) { return static_cast<int64_t>(SizeOf(type)); }

bool Aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

int64_t GroupRows(const GemmArgs& args) {
  return args.rows_per_group > 0 ? args.rows_per_group : args.x.rows;
}

// The type that the rows of x have in products with this weight.
DType InputType(const RowWeight& weight) {
  const bool e4m3 = weight.type == DType::kF8E4M3 ||
                    (weight.type == DType::kInt4G128 && weight.int4_layout == WeightLayout::kTilesForE4M3);
  return e4m3 ? DType::kF8E4M3 : DType::kBF16;
}

}  // namespace

const char* WhyNotGemm(const GemmArgs& args) {
  const RowWeight& weight = args.weight;
  if (const char* why = WhyNotRowWeight(weight.type, weight.n, weight.k, 0, 0)) return why;
  if (weight.group_stride_bytes % 16 != 0) return "the weight's groups are not aligned to 16 bytes";
  if (weight.groups > kMaxGroups) return "more groups than the kernel keeps in shared memory";
  if (args.x.type != InputType(weight)) return "x is of another type than the product takes";
  if (!Aligned(args.x.data) || args.x.stride * ElementBytes(args.x.type) % 16 != 0)
    return "x is not aligned to 16 bytes";
  if (args.x.type == DType::kF8E4M3 &&
      (args.x.scale_stride % 4 != 0 || args.x.scale_stride < args.x.rows || !Aligned(args.x.scales))) {
    return "the scales of x are not aligned to 16 bytes";
  }
  if (weight.type == DType::kInt4G128 && args.x.type == DType::kF8E4M3 &&
      (args.x.sums == nullptr || !Aligned(args.x.sums))) {
    return "int4 weights need the sums of quantised x, aligned to 16 bytes";
  }
  if (args.grouping == Grouping::kHeads &&
      (args.x_group_stride * ElementBytes(args.x.type) % 16 != 0 || args.x.type != DType::kBF16)) {
    return "heads are not bf16 aligned to 16 bytes";
  }
  if (args.grouping == Grouping::kDense && weight.groups != 1) return "a dense product of several groups";
  if (!Aligned(args.out.data) || args.out.stride * ElementBytes(args.out.type) % 16 != 0)
    return "out is not aligned to 16 bytes";
  return nullptr;
}

void Gemm(const GemmArgs& args, const Execution& execution) {
  DR_CHECK(WhyNotGemm(args) == nullptr);
  if (args.x.rows == 0) return;
  const RowWeight& weight = args.weight;
  const bool fp8 = args.x.type == DType::kF8E4M3, int4 = weight.type == DType::kInt4G128;
  const GemmConfig config = ChooseGemm(weight.groups, weight.n, weight.k, GroupRows(args));
  DR_CHECK(!config.parallel || (args.partials != nullptr && args.arrivals != nullptr));
  const auto panel = static_cast<int32_t>(kSwizzleBytes / ElementBytes(args.x.type));
  const int64_t x_bytes = ElementBytes(args.x.type),
                x_groups = args.grouping == Grouping::kHeads ? weight.groups : 1;
  const TensorMapSpec x{
      args.x.data,
      {weight.k, x_groups, args.x.rows},
      {x_groups > 1 ? args.x_group_stride * x_bytes : args.x.stride * x_bytes, args.x.stride * x_bytes},
      {panel, 1, config.tokens},
      args.x.type,
      true};
  GemmLaunch launch{
      .x = EncodeTensorMap(x),
      .weight_scales = weight.scales,
      .tiles = static_cast<const uint8_t*>(weight.data),
      .offsets = args.offsets,
      .out = args.out.data,
      .partials = static_cast<float*>(args.partials),
      .arrivals = args.arrivals,
      .out_stride = args.out.stride,
      .weight_scale_stride =
          weight.group_stride_scales > 0 ? weight.group_stride_scales : ScaleCount(1, weight.n, weight.k),
      .tile_stride =
          weight.group_stride_bytes > 0 ? weight.group_stride_bytes : Int4Bytes(1, weight.n, weight.k),
      .rows = static_cast<int32_t>(args.x.rows),
      .n = static_cast<int32_t>(weight.n),
      .k_blocks = static_cast<int32_t>(fp8 || int4 ? ScaleBlocks(weight.k) : (weight.k + panel - 1) / panel),
      .groups = static_cast<int32_t>(weight.groups),
      .feature_tiles = static_cast<int32_t>((weight.n + kTileRows - 1) / kTileRows),
      .splits = config.splits,
      .grouping = args.grouping,
      .out_bf16 = args.out.type == DType::kBF16,
      .weights_stay = GroupRows(args) > config.tokens,
  };
  if (!int4) {
    const int64_t row_bytes = weight.k * ElementBytes(weight.type);
    launch.weight = EncodeTensorMap(
        {weight.data,
         {weight.k, weight.n, weight.groups},
         {row_bytes, weight.group_stride_bytes > 0 ? weight.group_stride_bytes : weight.n * row_bytes},
         {panel, kTileRows, 1},
         weight.type,
         true});
  }
  const auto of_blocks = [&](const float* values) {
    return EncodeTensorMap(MatrixMap(values, DType::kF32, ScaleBlocks(weight.k), args.x.rows,
                                     args.x.scale_stride, 1, config.tokens, false));
  };
  if (fp8) launch.scales = of_blocks(args.x.scales);
  if (fp8 && int4) launch.sums = of_blocks(args.x.sums);
  const auto start = fp8 ? (int4 ? LaunchInt4E4M3 : LaunchE4M3) : int4 ? LaunchInt4 : LaunchBF16;
  start(config.tokens, args.blocks > 0 ? args.blocks : kStreamingMultiprocessors, launch, execution);
}

}  // namespace deeprack::kernels::sm90
