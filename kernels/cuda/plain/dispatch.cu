// The exchange of rows between ranks that hold different experts, plain.
#include "base/check.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxRanks = 1024;

// The index of `group` in the ascending list of the groups that the token goes to; -1: the token does not go
// to `group`.
__device__ inline int PlaceInList(const int32_t* ids, int64_t top_k, int64_t group_experts, int64_t group) {
  bool goes = false;
  int below = 0;
  for (int64_t c = 0; c < top_k; ++c) {
    if (ids[c] < 0) continue;
    const int64_t other = ids[c] / group_experts;
    goes |= other == group;
    bool counted = other >= group;
    for (int64_t earlier = 0; earlier < c && !counted; ++earlier) {
      counted = ids[earlier] >= 0 && ids[earlier] / group_experts == other;
    }
    below += !counted;
  }
  return goes ? below : -1;
}

// One block. Thread r counts the rows for rank r. When all counts are known, thread r gives its rows their
// places, in token order.
__global__ void PlanDispatchKernel(PlanDispatchArgs args) {
  __shared__ int first_place[kMaxRanks + 1];
  for (int64_t i = threadIdx.x; i < args.m * args.fanout; i += kMaxRanks) args.index[i] = -1;
  const int64_t rank = threadIdx.x;
  const int64_t group = rank / args.group_ranks;
  int rows = 0;
  for (int64_t t = 0; rank < args.ranks && t < args.m; ++t) {
    rows += PlaceInList(args.ids + t * args.top_k, args.top_k, args.group_experts, group) >= 0;
  }
  if (rank < args.ranks) {
    args.rows_to[rank] = rows;
    first_place[rank + 1] = rows;
  }
  __syncthreads();
  if (rank == 0) {
    first_place[0] = 0;
    for (int64_t r = 0; r < args.ranks; ++r) {
      first_place[r + 1] = first_place[r] + (args.slots > 0 ? static_cast<int>(args.slots) : first_place[r + 1]);
    }
  }
  __syncthreads();
  if (rank >= args.ranks) return;
  int place = first_place[rank];
  for (int64_t t = 0; t < args.m; ++t) {
    const int in_list = PlaceInList(args.ids + t * args.top_k, args.top_k, args.group_experts, group);
    if (in_list >= 0) args.index[t * args.fanout + in_list * args.group_ranks + rank % args.group_ranks] = place++;
  }
}

// blockIdx.x is the token, blockIdx.y one of the ranks that the token goes to. T has the size of an
// activation.
template <class T>
__global__ void PackDispatchKernel(PackDispatchArgs args) {
  const int64_t token = blockIdx.x;
  const int64_t place = args.index[token * args.fanout + blockIdx.y];
  if (place < 0) return;
  const T* from = args.x.row<T>(token);
  T* to = reinterpret_cast<T*>(static_cast<char*>(args.send) + place * args.row_bytes);
  for (int64_t i = threadIdx.x; i < args.x.cols; i += kThreads) to[i] = from[i];
  auto* ids = reinterpret_cast<int32_t*>(to + args.x.cols);
  auto* weights = reinterpret_cast<float*>(ids + args.top_k);
  for (int64_t c = threadIdx.x; c < args.top_k; c += kThreads) {
    ids[c] = args.ids[token * args.top_k + c];
    weights[c] = args.weights[token * args.top_k + c];
  }
}

// blockIdx.x is the received row.
__global__ void UnpackDispatchKernel(UnpackDispatchArgs args) {
  const int64_t row = blockIdx.x;
  if (args.slots > 0 && row % args.slots >= args.rows_from[row / args.slots]) {
    for (int64_t c = threadIdx.x; c < args.top_k; c += kThreads) args.ids[row * args.top_k + c] = -1;
    return;
  }
  const auto* ids = reinterpret_cast<const int32_t*>(static_cast<const char*>(args.received) + row * args.row_bytes +
                                                     args.activation_bytes);
  const auto* weights = reinterpret_cast<const float*>(ids + args.top_k);
  for (int64_t c = threadIdx.x; c < args.top_k; c += kThreads) {
    args.ids[row * args.top_k + c] = ids[c];
    args.weights[row * args.top_k + c] = weights[c];
  }
}

}  // namespace

void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution) {
  DR_CHECK(args.ranks <= kMaxRanks);
  DR_LAUNCH(PlanDispatchKernel, dim3(1), dim3(kMaxRanks), execution, args);
}

void PackDispatch(const PackDispatchArgs& args, const Execution& execution) {
  if (args.x.rows == 0) return;
  const int64_t element_bytes = static_cast<int64_t>(SizeOf(args.x.type));
  DR_CHECK(args.x.cols * element_bytes % 4 == 0 && args.row_bytes % 4 == 0);
  const dim3 grid(args.x.rows, args.fanout);
  if (element_bytes == sizeof(uint16_t)) {
    DR_LAUNCH((PackDispatchKernel<uint16_t>), grid, dim3(kThreads), execution, args);
  } else {
    DR_LAUNCH((PackDispatchKernel<uint32_t>), grid, dim3(kThreads), execution, args);
  }
}

void UnpackDispatch(const UnpackDispatchArgs& args, const Execution& execution) {
  if (args.m == 0) return;
  DR_LAUNCH(UnpackDispatchKernel, dim3(args.m), dim3(kThreads), execution, args);
}

}  // namespace deeprack::kernels::plain
