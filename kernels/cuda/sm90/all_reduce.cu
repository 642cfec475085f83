#include "kernels/cuda/sm90/all_reduce.h"

#include "base/check.h"
#include "kernels/cuda/sm90/norm_quantise.h"

namespace deeprack::kernels::sm90 {
namespace {

// Polls of a peer's word between looks at the clock and at the host's word, which is far away.
constexpr uint32_t kPollsBetweenLooks = 64;

// The place of this block's row in a rank's area, for its call number `call`.
template <class S>
__device__ inline S* PlaceOf(const PeerMemory& peers, int rank, uint32_t call) {
  return reinterpret_cast<S*>(static_cast<float*>(peers.areas[rank]) +
                              (int64_t{blockIdx.x} * 2 + call % 2) * peers.cols);
}

// Thread `thread` of the first warp waits for rank `thread`.
__device__ inline void WaitForPeer(const PeerMemory& peers, int thread, uint32_t call) {
  const uint32_t* const flag = peers.flags[peers.rank] + PeerFlagOf(blockIdx.x, thread);
  const uint64_t begin = Nanoseconds();
  for (uint32_t polls = 1; !HasBegun(LoadFromPeers(flag), call); ++polls) {
    if (polls % kPollsBetweenLooks != 0) continue;
    if (LoadFromPeers(peers.missing) != 0) return;
    if (Nanoseconds() - begin > peers.deadline_ns) {
      return StoreForPeers(peers.missing, static_cast<uint32_t>(thread) + 1);
    }
  }
}

// Begins this block's next call with its row of x, waits for the other ranks' same block, and returns the
// call's number: the places of all ranks then hold the row.
template <class S>
__device__ inline uint32_t ShareRow(const PeerMemory& peers, const Matrix& x) {
  const int thread = static_cast<int>(threadIdx.x);
  const uint32_t call = peers.calls[blockIdx.x] + 1;
  const S* const row = x.row<S>(blockIdx.x);
  S* const place = PlaceOf<S>(peers, peers.rank, call);
  for (int64_t column = 4 * thread; column < x.cols; column += 4 * kRowThreads) {
    *reinterpret_cast<FourOf<S>*>(place + column) = *reinterpret_cast<const FourOf<S>*>(row + column);
  }
  __syncthreads();  // everyone has the number before it is raised, and the row is whole
  if (thread == 0) peers.calls[blockIdx.x] = call;
  if (thread < kWarp) {
    if (thread < peers.ranks) StoreForPeers(peers.flags[thread] + PeerFlagOf(blockIdx.x, peers.rank), call);
    __syncwarp();
    if (thread < peers.ranks) WaitForPeer(peers, thread, call);
  }
  __syncthreads();
  return call;
}

// Columns [column, + 4) of the sum over ranks.
template <class S>
__device__ inline Floats4 SumOfRanks(const PeerMemory& peers, uint32_t call, int64_t column, int64_t cols) {
  Floats4 sum = {};
  for (int r = 0; r < peers.ranks; ++r) {
    const Floats4 share = Load4(PlaceOf<S>(peers, r, call), column, cols);
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
  DR_CHECK(x.rows <= peers.rows && x.cols <= peers.cols && peers.rows <= kMaxPeerRows);
  DR_CHECK(x.cols % 4 == 0 && x.stride % 4 == 0 && peers.cols % 4 == 0);
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
