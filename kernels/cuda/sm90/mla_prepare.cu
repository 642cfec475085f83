#include "kernels/cuda/sm90/mla_prepare.h"

#include "base/check.h"
#include "base/e4m3.h"
#include "kernels/cuda/sm90/mla.h"
#include "kernels/cuda/sm90/reduce.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kThreads = 256;
constexpr int kPairs = kRope / 2;
static_assert(kLatent == 2 * kThreads);

struct alignas(4) Pair {
  bf16 a, b;
};

static_assert(kPairs == kWarp && kLatent == 16 * kWarp);

// Interleaved pairs, as in the checkpoint.
__device__ inline Pair Rotate(Pair pair, float cos, float sin) {
  const float a = ToFloat(pair.a), b = ToFloat(pair.b);
  return {ToBF16(a * cos - b * sin), ToBF16(a * sin + b * cos)};
}

__device__ inline Pair Times(Pair pair, float factor) {
  return {ToBF16(ToFloat(pair.a) * factor), ToBF16(ToFloat(pair.b) * factor)};
}

__global__ void MlaPrepareKernel(MlaPrepareArgs args) {
  BeginKernel();
  const int64_t row = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const float* const cos = args.cos + int64_t{args.positions[row]} * kPairs;
  const float* const sin = args.sin + int64_t{args.positions[row]} * kPairs;
  bf16* const q = args.q.row<bf16>(row) + args.q_rope_offset;
  for (int i = thread; i < static_cast<int>(args.heads) * kPairs; i += kThreads) {
    Pair* const at = reinterpret_cast<Pair*>(q + i / kPairs * args.q_head_stride) + i % kPairs;
    *at = Rotate(*at, cos[i % kPairs], sin[i % kPairs]);
  }
  const Pair* const kv = reinterpret_cast<const Pair*>(args.kv.row<bf16>(row));
  const float a = ToFloat(kv[thread].a), b = ToFloat(kv[thread].b);
  const float inverse = 1.0f / sqrtf(BlockSum<kThreads>(fmaf(a, a, b * b)) / kLatent + args.eps);
  const Pair latent = {ToBF16(a * inverse * args.norm_weight[2 * thread]),
                       ToBF16(b * inverse * args.norm_weight[2 * thread + 1])};
  const int64_t slot = args.slots[row];
  if (slot < 0) return;
  Pair rope = {};
  if (thread < kPairs) rope = Rotate(kv[kThreads + thread], cos[thread], sin[thread]);
  if (args.cache_type == DType::kBF16) {
    Pair* const entry = reinterpret_cast<Pair*>(static_cast<bf16*>(args.cache) + slot * (kLatent + kRope));
    entry[thread] = latent;
    if (thread < kPairs) entry[kThreads + thread] = rope;
    return;
  }
  const int exponent =
      ScaleExponent(BlockMax<kThreads>(fmaxf(fabsf(ToFloat(latent.a)), fabsf(ToFloat(latent.b)))));
  const float shrink = PowerOfTwo(-exponent);
  uint8_t* const cache = static_cast<uint8_t*>(args.cache);
  const Fp8KvPage page = kFp8Page;
  uint8_t* const entry = cache + page.EntryAt(slot);
  reinterpret_cast<uint16_t*>(entry)[thread] =
      static_cast<uint16_t>(FourE4M3(ToFloat(latent.a) * shrink, ToFloat(latent.b) * shrink, 0.0f, 0.0f));
  if (thread < kPairs) reinterpret_cast<Pair*>(entry + page.rope_begin())[thread] = Times(rope, shrink);
  if (thread == 0) *reinterpret_cast<float*>(cache + page.ScaleAt(slot)) = PowerOfTwo(exponent);
}

// blockIdx.x: the row, blockIdx.y: a group of heads. A warp takes one head, a lane 16 values of the latent.
__global__ void QuantiseQueriesKernel(MlaQuantiseQueriesArgs args) {
  BeginKernel();
  const int64_t row = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t head = int64_t{blockIdx.y} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (head >= args.heads) return;
  struct alignas(16) Eight {
    bf16 v[8];
  };
  const Eight* const from =
      reinterpret_cast<const Eight*>(args.q_latent.row<bf16>(row) + head * kLatent) + 2 * lane;
  float values[16];
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    values[i] = ToFloat(from[i / 8].v[i % 8]);
    largest = fmaxf(largest, fabsf(values[i]));
  }
  const int exponent = ScaleExponent(WarpMax(largest));
  const float shrink = PowerOfTwo(-exponent);
  Words4 words;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    words.w[i] = FourE4M3(values[4 * i] * shrink, values[4 * i + 1] * shrink, values[4 * i + 2] * shrink,
                          values[4 * i + 3] * shrink);
  }
  const int64_t to = row * args.heads + head;
  reinterpret_cast<Words4*>(args.latent + to * kLatent)[lane] = words;
  const Pair rope = reinterpret_cast<const Pair*>(args.q_rope.row<bf16>(row) +
                                                  head * args.q_rope_head_stride + args.q_rope_offset)[lane];
  reinterpret_cast<Pair*>(args.rope + to * kRope)[lane] = Times(rope, shrink);
  if (lane == 0) args.scales[to] = PowerOfTwo(exponent);
}

}  // namespace

void MlaPrepare(const MlaPrepareArgs& args, const Execution& execution) {
  DR_CHECK(args.latent_dim == kLatent && args.kv.cols == kLatent + kRope &&
           (args.cache_type == DType::kBF16 || args.cache_type == DType::kF8E4M3));
  DR_CHECK(args.kv.stride % 2 == 0 && args.q.stride % 2 == 0 && args.q_head_stride % 2 == 0 &&
           args.q_rope_offset % 2 == 0);
  if (args.kv.rows == 0) return;
  Launch(&MlaPrepareKernel, dim3(static_cast<unsigned>(args.kv.rows)), kThreads, execution, args);
}

void MlaQuantiseQueries(const MlaQuantiseQueriesArgs& args, const Execution& execution) {
  DR_CHECK(args.q_latent.stride % 8 == 0 && args.q_rope.stride % 2 == 0 && args.q_rope_head_stride % 2 == 0 &&
           args.q_rope_offset % 2 == 0);
  if (args.q_latent.rows == 0) return;
  constexpr int64_t kHeads = kThreads / kWarp;
  Launch(&QuantiseQueriesKernel,
         dim3(static_cast<unsigned>(args.q_latent.rows),
              static_cast<unsigned>((args.heads + kHeads - 1) / kHeads)),
         kThreads, execution, args);
}

}  // namespace deeprack::kernels::sm90
