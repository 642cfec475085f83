#include "bench/gpu/sm90_buffers.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/api/int4_tiles.h"

namespace deeprack::bench {

using namespace kernels;
using namespace kernels::sm90;

namespace {

int64_t SizeOfType(DType type) { return static_cast<int64_t>(SizeOf(type)); }

}  // namespace

void* Sm90Buffers::Bytes(int64_t bytes) {
  held_.push_back(RandomOnDevice(std::max<int64_t>(bytes, 16)));
  return held_.back().get();
}

Matrix Sm90Buffers::Activations(int64_t rows, int64_t cols, DType type) {
  return {Bytes(rows * cols * SizeOfType(type)), type, rows, cols, cols};
}

QuantisedRows Sm90Buffers::Quantised(int64_t rows, int64_t cols) {
  const int64_t scale_stride = (rows + 3) / 4 * 4;
  const std::vector<float> scales(static_cast<size_t>(ScaleBlocks(cols) * scale_stride), 0.02f);
  return {static_cast<fp8_e4m3*>(Bytes(rows * cols)), cols, Copy(scales), scale_stride, Copy(scales)};
}

Rows Sm90Buffers::AsInput(const QuantisedRows& quantised, int64_t rows) {
  return {quantised.data,   DType::kF8E4M3,         rows,          quantised.stride,
          quantised.scales, quantised.scale_stride, quantised.sums};
}

Rows Sm90Buffers::AsInput(const Matrix& matrix) {
  return {matrix.data, matrix.type, matrix.rows, matrix.stride};
}

RowWeight Sm90Buffers::Weight(DType type, int64_t groups, int64_t n, int64_t k, WeightLayout int4_layout) {
  RowWeight weight{.type = type, .groups = groups, .n = n, .k = k, .int4_layout = int4_layout};
  if (type == DType::kInt4G128) {
    weight.data = Bytes(
        Int4Bytes(groups, n, k));  // bytes 0x30 to 0x3f: scales below 1, zeros above 16 do no harm to times
    return weight;
  }
  weight.data = Bytes(groups * n * k * SizeOfType(type));
  if (type == DType::kF8E4M3)
    weight.scales = Copy(std::vector<float>(static_cast<size_t>(ScaleCount(groups, n, k)), 0.01f));
  return weight;
}

void Sm90Buffers::GiveWorkspace(GemmArgs& args) {
  const int64_t rows = args.rows_per_group > 0 ? args.rows_per_group : args.x.rows;
  const GemmConfig config = ChooseGemm(args.weight.groups, args.weight.n, args.weight.k, rows);
  args.partials = Bytes(PartialBytes(config, args.weight.n, args.x.rows));
  args.arrivals = Copy(std::vector<int>(
      static_cast<size_t>(ArrivalBytes(config, args.weight.n, args.x.rows)) / sizeof(int) + 1, 0));
}

void* Sm90Buffers::Fp8Cache(int64_t pages) {
  uint8_t* const cache = static_cast<uint8_t*>(Bytes(pages * kFp8PageBytes));
  const std::vector<float> scales(static_cast<size_t>(pages * kPageTokens), 0.25f);
  constexpr size_t kScaleBytes = kPageTokens * sizeof(float);
  Check(cudaMemcpy2D(cache + kPageTokens * kFp8EntryBytes, kFp8PageBytes, scales.data(), kScaleBytes,
                     kScaleBytes, static_cast<size_t>(pages), cudaMemcpyHostToDevice),
        "scales to the device");
  return cache;
}

MlaArgs Sm90Buffers::Attention(int64_t heads, int64_t batch, int64_t rows, int64_t context, bool fp8) {
  const int64_t pages = (context + kPageTokens - 1) / kPageTokens;
  std::vector<BlockId> table(static_cast<size_t>(batch * pages));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::mt19937(3));
  const BlockId* const device_table = Copy(table);
  std::vector<AttentionSequence> sequences;
  for (int64_t s = 0; s < batch; ++s) {
    sequences.push_back({static_cast<int32_t>(s * rows), static_cast<int32_t>(rows),
                         static_cast<int32_t>(context - rows), device_table + s * pages});
  }
  const MlaPlan plan = PlanMla(heads, sequences.data(), batch);
  const int64_t tokens = batch * pages * kPageTokens;
  void* const cache = fp8 ? Fp8Cache(batch * pages) : Bytes(tokens * (kLatent + kRope) * 2);
  const int64_t columns = plan.tile.columns();
  return {.q_latent = Activations(batch * rows, heads * kLatent, fp8 ? DType::kF8E4M3 : DType::kBF16),
          .q_rope = Activations(batch * rows, heads * (128 + kRope)),
          .q_rope_head_stride = 128 + kRope,
          .q_rope_offset = 128,
          .heads = heads,
          .scale = 0.1f,
          .cache = cache,
          .cache_tokens = tokens,
          .tile = plan.tile,
          .items = Copy(plan.items),
          .merges = Copy(plan.merges),
          .counts = Copy(std::vector<int32_t>{static_cast<int32_t>(plan.items.size()),
                                              static_cast<int32_t>(plan.merges.size())}),
          .max_items = static_cast<int64_t>(plan.items.size()),
          .max_merges = static_cast<int64_t>(plan.merges.size()),
          .partial_sums = static_cast<float*>(Bytes(MlaPartialFloats(plan.partials, columns) * 4)),
          .partial_stats = static_cast<float*>(Bytes(MlaStatFloats(plan.partials, columns) * 4)),
          .scratch = static_cast<float*>(Bytes(MlaScratchFloats(kStreamingMultiprocessors, columns) * 4)),
          .out = Activations(batch * rows, heads * kLatent),
          .q_scales = Copy(std::vector<float>(static_cast<size_t>(batch * rows * heads), 0.125f))};
}

double WeightBytes(const RowWeight& weight) {
  if (weight.type == DType::kInt4G128)
    return static_cast<double>(Int4Bytes(weight.groups, weight.n, weight.k));
  const int64_t values = weight.groups * weight.n * weight.k * SizeOfType(weight.type);
  return static_cast<double>(
      values + (weight.scales != nullptr ? ScaleCount(weight.groups, weight.n, weight.k) * 4 : 0));
}

}  // namespace deeprack::bench
