#include "kernels/cuda/sm90/dispatch.h"

#include "base/check.h"
#include "kernels/cuda/sm90/reduce.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxGroups = 256;
constexpr uint32_t kBits = 32;

// The place of a group of ranks among the groups that a token goes to.
struct Place {
  bool goes = false;
  int below = 0;  // groups that the token goes to, below this one
  int all = 0;

  // The loop takes 32 groups at a time, one bit for each. Local memory would be slow. A bit counts a group
  // once.
  __device__ Place(const PlanDispatchArgs& args, int64_t token, uint32_t group) {
    const auto groups = static_cast<uint32_t>(args.ranks / args.group_ranks);
    const auto group_experts = static_cast<uint32_t>(args.group_experts);
    for (uint32_t first = 0; first < groups; first += kBits) {
      uint32_t bits = 0;
      for (int64_t c = 0; c < args.top_k; ++c) {
        const int32_t id = args.ids[token * args.top_k + c];
        const uint32_t other = static_cast<uint32_t>(id) / group_experts - first;
        if (id >= 0 && other < kBits) bits |= 1u << other;
      }
      all += CountBits(bits);
      if (group < first) continue;
      const uint32_t bit = group - first;
      below += CountBits(bit < kBits ? bits & ((1u << bit) - 1u) : bits);
      goes |= bit < kBits && (bits >> bit & 1u) != 0;
    }
  }
};

// One block for each rank. The block counts the rows of the ranks before its own and gives its own rows their
// places, in token order. Block p also marks the tokens that have no p-th row.
__global__ void PlanDispatchKernel(PlanDispatchArgs args) {
  BeginKernel();
  const int64_t rank = blockIdx.x, member = rank % args.group_ranks;
  const auto group = static_cast<uint32_t>(rank / args.group_ranks);
  int64_t base = rank * args.slots;
  if (args.slots == 0) {
    int of_others = 0, own = 0;
    for (int64_t t = threadIdx.x; t < args.m; t += kThreads) {
      const Place place(args, t, group);
      of_others += place.below;
      own += place.goes;
    }
    // fp32 sums of fewer than 2^24 rows are exact.
    const float below = BlockSum<kThreads>(static_cast<float>(of_others));
    const float mine = BlockSum<kThreads>(static_cast<float>(own));
    base = static_cast<int64_t>(below) * args.group_ranks + static_cast<int64_t>(mine) * member;
  }
  int rows = 0;
  for (int64_t begin = 0; begin < args.m; begin += kThreads) {
    const int64_t t = begin + threadIdx.x;
    const bool exists = t < args.m;
    // A thread without a token looks at the last token and takes no row.
    const Place place(args, exists ? t : args.m - 1, group);
    const bool goes = exists && place.goes;
    const int earlier = rows;
    const int row = earlier + PlaceAmong<kThreads>(goes, rows);
    int32_t* const index = args.index + t * args.fanout;
    if (goes) index[place.below * args.group_ranks + member] = static_cast<int32_t>(base + row);
    if (exists && rank < args.fanout && place.all * args.group_ranks <= rank) index[rank] = -1;
  }
  if (threadIdx.x == 0) args.rows_to[rank] = rows;
}

__device__ inline void CopyRun(void* to, const void* from, int64_t bytes) {
  for (int64_t at = int64_t{threadIdx.x} * 16; at < bytes; at += kThreads * 16) {
    *reinterpret_cast<Words4*>(static_cast<char*>(to) + at) =
        *reinterpret_cast<const Words4*>(static_cast<const char*>(from) + at);
  }
}

struct PackLaunch {
  PackDispatchArgs args;
  int64_t row_bytes;  // bytes of a row of x
  int64_t stride_bytes;
};

// blockIdx.x is the token, blockIdx.y one of the ranks that the token goes to.
__global__ void PackDispatchKernel(PackLaunch launch) {
  BeginKernel();
  const PackDispatchArgs& args = launch.args;
  const int64_t token = blockIdx.x;
  const int64_t place = args.index[token * args.fanout + blockIdx.y];
  if (place < 0) return;
  char* const to = static_cast<char*>(args.send) + place * args.row_bytes;
  int64_t activation_bytes = launch.row_bytes;
  if (args.rounded.memory == nullptr) {
    CopyRun(to, static_cast<const char*>(args.x.data) + token * launch.stride_bytes, activation_bytes);
  } else {
    const RoundedRowLayout row = RoundedRowLayoutOf(args.x.cols);
    const RoundedRowsLayout all = RoundedRowsLayoutOf(args.rounded.rows, args.x.cols);
    const int64_t source = args.rounded.first + token;
    activation_bytes = row.bytes;
    CopyRun(to, args.rounded.memory + source * all.stride, row.scales);
    // The sums follow the scales, both in the rounded rows and in the sent row.
    const auto* from = reinterpret_cast<const float*>(args.rounded.memory + all.scales);
    auto* scales = reinterpret_cast<float*>(to + row.scales);
    for (int64_t b = threadIdx.x; b < (row.bytes - row.scales) / 4; b += kThreads)
      scales[b] = from[b * all.scale_stride + source];
  }
  auto* const ids = reinterpret_cast<int32_t*>(to + activation_bytes);
  auto* const weights = reinterpret_cast<float*>(ids + args.top_k);
  for (int64_t c = threadIdx.x; c < args.top_k; c += kThreads) {
    ids[c] = args.ids[token * args.top_k + c];
    weights[c] = args.weights[token * args.top_k + c];
  }
}

bool InRuns(const void* data, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && bytes % 16 == 0;
}

}  // namespace

const char* WhyNotPlanDispatch(const PlanDispatchArgs& args) {
  if (args.ranks > kMaxGroups * args.group_ranks) return "there are more than 256 groups of ranks";
  if (args.fanout > args.ranks) return "a token reaches more ranks than there are";
  if (args.m * args.fanout >= int64_t{1} << 24) return "there are 2^24 rows or more";
  return nullptr;
}

void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution) {
  DR_CHECK(WhyNotPlanDispatch(args) == nullptr);
  Launch(&PlanDispatchKernel, dim3(static_cast<unsigned>(args.ranks)), kThreads, execution, args);
}

const char* WhyNotPackDispatch(const PackDispatchArgs& args) {
  const int64_t element = static_cast<int64_t>(SizeOf(args.x.type));
  if (!InRuns(args.send, args.row_bytes)) return "the places of rows are not aligned to 16 bytes";
  if (args.rounded.memory != nullptr) {
    return InRuns(args.rounded.memory, args.x.cols) ? nullptr : "rounded rows are not aligned to 16 bytes";
  }
  if (!InRuns(args.x.data, args.x.cols * element) || args.x.stride * element % 16 != 0)
    return "rows are not aligned to 16 bytes";
  return nullptr;
}

void PackDispatch(const PackDispatchArgs& args, const Execution& execution) {
  DR_CHECK(WhyNotPackDispatch(args) == nullptr);
  if (args.x.rows == 0) return;
  const int64_t element = static_cast<int64_t>(SizeOf(args.x.type));
  Launch(&PackDispatchKernel, dim3(static_cast<unsigned>(args.x.rows), static_cast<unsigned>(args.fanout)),
         kThreads, execution, PackLaunch{args, args.x.cols * element, args.x.stride * element});
}

}  // namespace deeprack::kernels::sm90
