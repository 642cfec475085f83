#include "kernels/cuda/sm90/mla_prepare.h"

#include "base/check.h"
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

// Interleaved pairs, as in the checkpoint.
__device__ inline Pair Rotate(Pair pair, float cos, float sin) {
  const float a = ToFloat(pair.a), b = ToFloat(pair.b);
  return {ToBF16(a * cos - b * sin), ToBF16(a * sin + b * cos)};
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
  if (args.slots[row] < 0) return;
  Pair* const entry = reinterpret_cast<Pair*>(args.cache + args.slots[row] * (kLatent + kRope));
  entry[thread] = {ToBF16(a * inverse * args.norm_weight[2 * thread]),
                   ToBF16(b * inverse * args.norm_weight[2 * thread + 1])};
  if (thread < kPairs) entry[kThreads + thread] = Rotate(kv[kThreads + thread], cos[thread], sin[thread]);
}

}  // namespace

void MlaPrepare(const MlaPrepareArgs& args, const Execution& execution) {
  DR_CHECK(args.kv.stride % 2 == 0 && args.q.stride % 2 == 0 && args.q_head_stride % 2 == 0 &&
           args.q_rope_offset % 2 == 0);
  if (args.kv.rows == 0) return;
  Launch(&MlaPrepareKernel, dim3(static_cast<unsigned>(args.kv.rows)), kThreads, execution, args);
}

}  // namespace deeprack::kernels::sm90
