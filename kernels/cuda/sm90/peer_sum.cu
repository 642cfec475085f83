// Sums over peers. Each block computes one row together with the same block of every rank.
#include "base/check.h"
#include "kernels/cuda/sm90/norm_quantise.h"
#include "kernels/cuda/sm90/peer_meeting.h"
#include "kernels/cuda/sm90/peers.h"

namespace deeprack::kernels::sm90 {
namespace {

// Begins this block's next call with its row of x, waits for the other ranks' same block, and returns the
// call's number: the places of all ranks then hold the row.
template <class S>
__device__ inline uint32_t ShareRow(const PeerMemory& peers, const Matrix& x) {
  const int thread = static_cast<int>(threadIdx.x);
  uint32_t* const number = peers.calls + PeerWordOf(blockIdx.x, 0);
  const uint32_t call = *number + 1;
  const S* const row = x.row<S>(blockIdx.x);
  S* const place = PlaceOf<S>(peers, peers.rank, blockIdx.x, call);
  for (int64_t column = 4 * thread; column < x.cols; column += 4 * kRowThreads) {
    *reinterpret_cast<FourOf<S>*>(place + column) = *reinterpret_cast<const FourOf<S>*>(row + column);
  }
  __syncthreads();  // all threads have read the call number, and the row is written completely
  if (thread == 0) *number = call;
  if (thread < kWarp) {
    if (thread < peers.ranks) TellPeer(peers, thread, blockIdx.x, call);
    __syncwarp();
    if (thread < peers.ranks) WaitForPeer(peers, thread, blockIdx.x, call);
  }
  __syncthreads();
  return call;
}

// Columns [column, column + 4) of the sum over ranks.
template <class S>
__device__ inline Floats4 SumOfRanks(const PeerMemory& peers, uint32_t call, int64_t column, int64_t cols) {
  Floats4 sum = {};
  for (int r = 0; r < peers.ranks; ++r) {
    const Floats4 share = Load4(PlaceOf<S>(peers, r, blockIdx.x, call), column, cols);
#pragma unroll
    for (int j = 0; j < 4; ++j) sum.f[j] += share.f[j];
  }
  return sum;
}

template <class S>
__global__ void __launch_bounds__(kRowThreads, 2) PeerSumKernel(const __grid_constant__ PeerSumArgs args) {
  BeginKernel();
  const uint32_t call = ShareRow<S>(args.peers, args.x);
  S* const row = args.x.row<S>(blockIdx.x);
  for (int64_t column = 4 * threadIdx.x; column < args.x.cols; column += 4 * kRowThreads) {
    Store4(row, column, args.x.cols, SumOfRanks<S>(args.peers, call, column, args.x.cols));
  }
}

template <class S, class R>
__global__ void __launch_bounds__(kRowThreads, 2)
    PeerSumNormKernel(const __grid_constant__ PeerSumNormArgs args) {
  BeginKernel();
  const uint32_t call = ShareRow<S>(args.peers, args.x);
  NormRow<true, R>(
      args.residual, args.weight, args.eps, args.normed, args.out, blockIdx.x,
      [&](int64_t column) { return SumOfRanks<S>(args.peers, call, column, args.residual.cols); });
}

void Check(const PeerMemory& peers, const Matrix& x) {
  DR_CHECK(peers.ranks >= 1 && peers.ranks <= kMaxPeers && peers.rank >= 0 && peers.rank < peers.ranks);
  DR_CHECK(x.rows <= peers.places && x.rows <= kMaxPeerRows && peers.place_bytes % 16 == 0);
  DR_CHECK(x.cols % 4 == 0 && x.stride % 4 == 0);
  DR_CHECK(x.cols * static_cast<int64_t>(SizeOf(x.type)) <= peers.place_bytes);
}

}  // namespace

void PeerSum(const PeerSumArgs& args, const Execution& execution) {
  if (args.x.rows == 0) return;
  Check(args.peers, args.x);
  DispatchActivation(args.x.type, [&](auto x) {
    Launch(&PeerSumKernel<decltype(x)>, dim3(static_cast<unsigned>(args.x.rows)), kRowThreads, execution,
           args);
  });
}

void PeerSumNorm(const PeerSumNormArgs& args, const Execution& execution) {
  if (args.residual.rows == 0) return;
  Check(args.peers, args.x);
  DR_CHECK(args.x.rows == args.residual.rows && args.x.cols == args.residual.cols);
  DR_CHECK(args.residual.stride % 4 == 0 && args.normed.stride % 4 == 0 && args.x.cols <= kMaxNormWidth);
  DispatchActivation(args.x.type, [&](auto x) {
    DispatchActivation(args.residual.type, [&](auto residual) {
      Launch(&PeerSumNormKernel<decltype(x), decltype(residual)>,
             dim3(static_cast<unsigned>(args.residual.rows)), kRowThreads, execution, args);
    });
  });
}

}  // namespace deeprack::kernels::sm90
