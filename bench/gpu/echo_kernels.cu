#include "bench/gpu/echo_kernels.h"

#include "base/check.h"
#include "kernels/cuda/plain/device.h"

namespace deeprack::bench {

using namespace kernels::plain;

namespace {

constexpr int kThreads = 128;

struct alignas(16) Sixteen {
  uint32_t words[4];
};

// blockIdx.x: row.
__global__ void EchoRowsKernel(EchoRowsArgs args) {
  const int64_t row = blockIdx.x;
  int64_t rank = args.slots > 0 ? row / args.slots : 0;
  if (args.slots > 0) {
    const int64_t rows = args.rows_to[rank], slot = row % args.slots;
    if (slot == 0 && threadIdx.x == 0) args.rows_from[rank] = rows;
    if (slot >= rows) return;
  } else {
    while (row >= args.begin[rank + 1]) ++rank;
  }
  const char* from = static_cast<const char*>(args.send) + row * args.row_bytes;
  char* to = static_cast<char*>(args.receive) + row * args.row_bytes;
  for (int64_t i = threadIdx.x; i < args.row_bytes / 16; i += kThreads) {
    reinterpret_cast<Sixteen*>(to)[i] = reinterpret_cast<const Sixteen*>(from)[i];
  }
  if (args.routing.ids_at < 0) return;
  __syncthreads();
  auto* const ids = reinterpret_cast<int32_t*>(to + args.routing.ids_at);
  for (int64_t c = threadIdx.x; c < args.routing.top_k; c += kThreads) {
    const int64_t id = ids[c] - rank * args.routing.rank_experts;
    ids[c] = id < 0 ? -1 : static_cast<int32_t>(id);
  }
}

__global__ void EchoCountsKernel(const int64_t* rows_to, int64_t* counts, int64_t ranks) {
  for (int64_t i = threadIdx.x; i < ranks * ranks; i += kThreads)
    counts[i] = rows_to[(i / ranks + i % ranks) % ranks];
}

}  // namespace

void EchoRows(const EchoRowsArgs& args, const kernels::Execution& execution) {
  DR_CHECK(args.row_bytes % 16 == 0 && args.ranks <= kMostEchoRanks);
  const int64_t rows = args.slots > 0 ? args.slots * args.ranks : args.begin[args.ranks];
  if (rows == 0) return;
  DR_LAUNCH(EchoRowsKernel, dim3(rows), dim3(kThreads), execution, args);
}

void EchoCounts(const int64_t* rows_to, int64_t* counts, int64_t ranks, const kernels::Execution& execution) {
  DR_LAUNCH(EchoCountsKernel, dim3(1), dim3(kThreads), execution, rows_to, counts, ranks);
}

}  // namespace deeprack::bench
