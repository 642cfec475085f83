#include "kernels/cuda/sm90/all_reduce.h"

#include "base/check.h"
#include "kernels/cuda/sm90/norm_quantise.h"

namespace deeprack::kernels::sm90 {
namespace {

// Begins the block's next call and waits for the other ranks' same block.
__device__ inline void MeetPeers(const AllReduceNormArgs& args) {
  const int block = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const uint32_t call = args.calls[block] + 1;
  __syncthreads();  // everyone has the number before it is raised
  if (thread == 0) args.calls[block] = call;
  if (thread < args.ranks) {
    StoreForPeers(args.flags[thread] + FlagOf(block, args.rank), call);
    const uint32_t* const flag = args.flags[args.rank] + FlagOf(block, thread);
    const uint64_t begin = Nanoseconds();
    while (!HasBegun(LoadFromPeers(flag), call)) {
      if (LoadFromPeers(args.missing) != 0) break;
      if (Nanoseconds() - begin > args.deadline_ns) {
        StoreForPeers(args.missing, static_cast<uint32_t>(thread) + 1);
        break;
      }
    }
  }
  __syncthreads();
}

template <class S, class R>
__global__ void __launch_bounds__(kRowThreads) AllReduceNormKernel(AllReduceNormArgs args) {
  MeetPeers(args);
  for (int64_t row = blockIdx.x; row < args.residual.rows; row += gridDim.x) {
    const auto sum_of_ranks = [&](int64_t column) {
      Floats4 sum = {};
      for (int r = 0; r < args.ranks; ++r) {
        const Floats4 share = Load4(static_cast<const S*>(args.shares[r]) + row * args.share_stride, column,
                                    args.residual.cols);
#pragma unroll
        for (int j = 0; j < 4; ++j) sum.f[j] += share.f[j];
      }
      return sum;
    };
    NormRow<true, R>(args.residual, args.weight, args.eps, args.normed, args.out, row, sum_of_ranks);
  }
}

}  // namespace

void AllReduceNorm(const AllReduceNormArgs& args, const Execution& execution) {
  DR_CHECK(args.ranks >= 1 && args.ranks <= kMaxPeers && args.rank >= 0 && args.rank < args.ranks);
  DR_CHECK(args.residual.cols % 4 == 0 && args.residual.stride % 4 == 0 && args.share_stride % 4 == 0 &&
           args.normed.stride % 4 == 0 && args.residual.cols <= kMaxNormWidth);
  if (args.residual.rows == 0) return;
  const dim3 grid(
      static_cast<unsigned>(args.residual.rows < kMaxReduceBlocks ? args.residual.rows : kMaxReduceBlocks));
  DispatchActivation(args.share_type, [&](auto share) {
    DispatchActivation(args.residual.type, [&](auto residual) {
      DR_LAUNCH((AllReduceNormKernel<decltype(share), decltype(residual)>), grid, dim3(kRowThreads),
                execution, args);
    });
  });
}

}  // namespace deeprack::kernels::sm90
