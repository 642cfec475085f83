// Matrix products: the Hopper kernel multiplies by row-major weights and tiles, the plain kernel by panels.
// Products with fp8 weights, and with int4 tiles for e4m3, take e4m3 rows. Rows that arrive in bf16 or fp32
// are quantised here first, which also gathers the rows of experts. A feed-forward's SwiGLU is part of
// quantising the rows of its second product.
#include "kernels/cuda/hopper/operations.h"
#include "kernels/cuda/hopper/product_scratch.h"
#include "kernels/cuda/hopper/rounded_rows.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/sm90/gemm.h"
#include "kernels/cuda/sm90/quantise.h"

namespace deeprack::kernels::hopper {
namespace {

using sm90::GemmArgs;
using sm90::GemmConfig;
using sm90::QuantisedRows;
using sm90::RowWeight;

// `count` matrices at equal distances as one weight of `count` groups. The result has groups = 0 if the
// matrices are panels or not at equal distances.
RowWeight AsGroups(const PackedWeight* weights, int64_t count) {
  const PackedWeight& first = weights[0];
  RowWeight groups{.data = first.data,
                   .scales = first.scales,
                   .type = first.type,
                   .groups = 0,
                   .n = first.n,
                   .k = first.k,
                   .int4_layout = first.layout};
  if (first.layout == WeightLayout::kPanels) return groups;
  const auto at = [](const PackedWeight& weight) { return static_cast<const std::byte*>(weight.data); };
  if (count > 1) {
    groups.group_stride_bytes = at(weights[1]) - at(first);
    if (first.scales != nullptr) groups.group_stride_scales = weights[1].scales - first.scales;
    if (groups.group_stride_bytes <= 0 || groups.group_stride_scales < 0) return groups;
  }
  for (int64_t i = 1; i < count; ++i) {
    if (at(weights[i]) != at(first) + i * groups.group_stride_bytes) return groups;
    if (first.scales != nullptr && weights[i].scales != first.scales + i * groups.group_stride_scales)
      return groups;
  }
  groups.groups = count;
  return groups;
}

// The rows of x: their index, if any, and their number; and the layout of the weight.
struct Source {
  Matrix x;
  const int32_t* row_index = nullptr;
  const int32_t* row_count = nullptr;  // on the device; null: all
  int64_t rows = 0;
  WeightLayout layout = WeightLayout::kPanels;
  // For products that take e4m3. If gate_up has data, x is SwiGLU of these rows and is computed here. If
  // `rounded` is not null, it holds the rows of x as LinearArgs::rounded does.
  Matrix gate_up = {};
  const std::byte* rounded = nullptr;
};

// Adds the rows of x to `gemm`, whose weight, grouping and out are set, and enqueues the product. Returns
// false, and enqueues nothing, if the Hopper kernels cannot compute the product.
bool Multiply(GemmArgs gemm, const Source& source, const Execution& execution) {
  const RowWeight& weight = gemm.weight;
  const Matrix& x = source.x;
  if (weight.groups == 0) return false;
  const WeightLayout layout = source.layout;
  const bool e4m3 = TakesE4M3(weight.type, layout), activates = source.gate_up.data != nullptr,
             is_rounded = e4m3 && source.rounded != nullptr, travelled = x.type == DType::kF8E4M3;
  const Rows come = is_rounded                    ? Rows::kAsTheyAre
                    : e4m3                        ? Rows::kQuantised
                    : source.row_index != nullptr ? Rows::kGathered
                                                  : Rows::kAsTheyAre;
  if (gemm.rows_per_group == 0) gemm.rows_per_group = source.rows;
  const GemmConfig config = sm90::ChooseGemm(weight.groups, weight.n, weight.k, gemm.rows_per_group);
  ScratchCut cut(execution.scratch);
  const ProductScratch scratch =
      CutProduct(come, weight.k, source.rows, sm90::PartialBytes(config, weight.n, source.rows), cut);
  // Written only if the rows are in scratch.
  QuantisedRows quantised =
      AsQuantised(is_rounded ? const_cast<std::byte*>(source.rounded) : scratch.rows, source.rows, weight.k);
  if (!IsTiles(layout)) quantised.sums = nullptr;
  if (e4m3) {
    if (x.cols % 4 != 0 || x.stride % 4 != 0) return false;
    DR_CHECK(!travelled || (source.row_index != nullptr && x.cols % 16 == 0 && x.stride % 16 == 0));
    if (activates && (source.gate_up.cols != 2 * weight.k || source.gate_up.cols % 8 != 0 ||
                      source.gate_up.stride % 4 != 0)) {
      return false;
    }
    gemm.x = {.data = quantised.data,
              .type = DType::kF8E4M3,
              .rows = source.rows,
              .stride = quantised.stride,
              .scales = quantised.scales,
              .scale_stride = quantised.scale_stride,
              .sums = quantised.sums};
  } else {
    const bool gathers = come == Rows::kGathered;
    if (activates || x.type != DType::kBF16 || (gathers && (x.cols % 8 != 0 || x.stride % 8 != 0)))
      return false;
    gemm.x = {.data = gathers ? scratch.rows : x.data,
              .type = DType::kBF16,
              .rows = source.rows,
              .stride = gathers ? weight.k : x.stride};
  }
  gemm.partials = scratch.partials;
  gemm.arrivals = static_cast<int*>(execution.scratch.counters);
  gemm.blocks = execution.multiprocessors;
  if (sm90::WhyNotGemm(gemm) != nullptr) return false;
  DR_CHECK(sm90::ArrivalBytes(config, weight.n, source.rows) <= execution.scratch.counter_bytes);

  if (activates) {
    sm90::SwiGluQuantise({.gate_up = source.gate_up, .row_count = source.row_count, .out = quantised},
                         execution);
  } else if (come == Rows::kQuantised && travelled) {
    sm90::GatherQuantised({.x = AsReceived(x.data, x.stride, x.cols),
                           .cols = x.cols,
                           .row_index = source.row_index,
                           .rows = source.rows,
                           .row_count = source.row_count,
                           .out = quantised,
                           .x_scale_row = x.stride / static_cast<int64_t>(sizeof(float))},
                          execution);
  } else if (come == Rows::kQuantised) {
    sm90::Quantise({.x = x,
                    .row_index = source.row_index,
                    .rows = source.rows,
                    .row_count = source.row_count,
                    .out = quantised},
                   execution);
  } else if (come == Rows::kGathered) {
    const Matrix gathered = {scratch.rows, DType::kBF16, source.rows, weight.k, weight.k};
    sm90::Gather({.x = x, .row_index = source.row_index, .row_count = source.row_count, .out = gathered},
                 execution);
  }
  sm90::Gemm(gemm, execution);
  return true;
}

// `gate_up` is the rows whose SwiGLU is x, as in Source.
bool MultiplyDense(const LinearArgs& args, const Matrix& gate_up, const Execution& execution) {
  return Multiply({.weight = AsGroups(&args.weight, 1), .out = args.out},
                  {.x = args.x,
                   .rows = args.x.rows,
                   .layout = args.weight.layout,
                   .gate_up = gate_up,
                   .rounded = args.rounded},
                  execution);
}

bool MultiplyGroups(const GroupedLinearArgs& args, const Matrix& gate_up, const Execution& execution) {
  // A product of one group may have parallel parts of K. Their scratch is sized by all rows of out.
  const int64_t expected = args.experts > 1 && args.expected_rows > 0 ? args.expected_rows : args.out.rows;
  return Multiply({.weight = AsGroups(args.weights, args.experts),
                   .grouping = sm90::Grouping::kRanges,
                   .offsets = args.offsets,
                   .rows_per_group = CeilDiv(expected, args.experts),
                   .out = args.out},
                  {.x = args.x,
                   .row_index = args.row_index,
                   .row_count = args.offsets + args.experts,
                   .rows = args.out.rows,
                   .layout = args.weights[0].layout,
                   .gate_up = gate_up},
                  execution);
}

}  // namespace

void Linear(const LinearArgs& args, const Execution& execution) {
  if (args.x.rows == 0) return;
  if (!MultiplyDense(args, {}, execution)) plain::Linear(args, execution);
}

void HeadLinear(const HeadLinearArgs& args, const Execution& execution) {
  if (args.x.rows == 0 || args.heads == 0) return;
  // Only bf16: quantisation would share scales between heads, and these weights are in the compute type.
  const bool done = args.weights[0].type == DType::kBF16 &&
                    Multiply({.weight = AsGroups(args.weights, args.heads),
                              .grouping = sm90::Grouping::kHeads,
                              .x_group_stride = args.x_head_stride,
                              .out = args.out},
                             {.x = args.x, .rows = args.x.rows, .layout = args.weights[0].layout}, execution);
  if (!done) plain::HeadLinear(args, execution);
}

void GroupedLinear(const GroupedLinearArgs& args, const Execution& execution) {
  if (args.out.rows == 0 || args.experts == 0) return;
  if (MultiplyGroups(args, {}, execution)) return;
  DR_CHECK(args.x.type != DType::kF8E4M3);  // rows in e4m3 arrive only if DispatchesRounded is true
  plain::GroupedLinear(args, execution);
}

void FeedForward(const FeedForwardArgs& args, const Execution& execution) {
  if (args.down.x.rows == 0) return;
  Linear(args.gate_up, execution);
  if (MultiplyDense(args.down, args.swiglu.gate_up, execution)) return;
  plain::SwiGlu(args.swiglu, execution);
  Linear(args.down, execution);
}

void GroupedFeedForward(const GroupedFeedForwardArgs& args, const Execution& execution) {
  if (args.down.out.rows == 0 || args.down.experts == 0) return;
  GroupedLinear(args.gate_up, execution);
  if (MultiplyGroups(args.down, args.swiglu.gate_up, execution)) return;
  plain::SwiGlu(args.swiglu, execution);
  GroupedLinear(args.down, execution);
}

}  // namespace deeprack::kernels::hopper
