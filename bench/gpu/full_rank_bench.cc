// A whole rank of DeepSeek R1: decode steps at several batches and contexts, and prefill, with the experts of
// 8-way and of 32-way expert parallelism. Prints for each: tokens per second, kernels per layer, and where
// the time goes.
//   full_rank_bench [--quick]
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "bench/gpu/full_rank.h"
#include "bench/gpu/graph_timer.h"

namespace deeprack::bench {
namespace {

constexpr double kLayers = 61;

size_t NodesOf(const FullRank& rank) {
  cudaStream_t stream;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  rank.Step({.stream = stream});
  cudaGraph_t graph;
  Check(cudaStreamEndCapture(stream, &graph), "capture");
  size_t nodes = 0;
  Check(cudaGraphGetNodes(graph, nullptr, &nodes), "graph");
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return nodes;
}

void Time(const RankShape& shape, const CardLimits& limits) {
  size_t free = 0, total = 0;
  Check(cudaMemGetInfo(&free, &total), "memory");
  // What activations, cache and partial results may take besides.
  const auto reserve = static_cast<double>(shape.sequences * shape.context) * 1152 +
                       static_cast<double>(shape.tokens()) * 1.2e6 + 6e9;
  const double room = static_cast<double>(free) - reserve;
  if (room < 4e9) {
    std::printf("ep%-2ld %5ld x %4ld rows, context %6ld: does not fit this card\n", shape.ranks,
                shape.sequences, shape.rows, shape.context);
    return;
  }
  const FullRank rank(shape, static_cast<int64_t>(room));
  const double seconds = SecondsInGraph([&](int64_t, const kernels::Execution& e) { rank.Step(e); }, 1);
  std::printf(
      "ep%-2ld %5ld x %4ld rows, context %6ld: %9.2f ms, %9.0f tokens/s, weights at %4.0f%% of the copy "
      "bandwidth, %.1f kernels a "
      "layer, %ld of 61 layers in memory\n",
      shape.ranks, shape.sequences, shape.rows, shape.context, seconds * 1e3,
      static_cast<double>(shape.tokens()) / seconds,
      100 * rank.weight_bytes_of_a_step() / seconds / limits.bytes_per_second,
      static_cast<double>(NodesOf(rank)) / kLayers, rank.layers_in_memory());
  double sum = 0;
  for (int p = 0; p < static_cast<int>(Part::kCount); ++p) {
    const Part part = static_cast<Part>(p);
    const double alone = SecondsInGraph([&](int64_t, const kernels::Execution& e) { rank.Step(e, part); }, 1);
    sum += alone;
    std::printf("    %-34s %9.2f ms %5.1f%%\n", NameOf(part), alone * 1e3, 100 * alone / seconds);
  }
  std::printf("    %-34s %9.2f ms\n", "all of them alone", sum * 1e3);
  std::fflush(stdout);
}

int Main(bool quick) {
  cudaDeviceProp card;
  Check(cudaGetDeviceProperties(&card, 0), "no card");
  if (card.major != 9) {
    std::fprintf(stderr, "%s has no sm_90a: the step was not timed\n", card.name);
    return 69;
  }
  const CardLimits limits = MeasureCard();
  for (const int64_t ranks : {8, 32}) {
    for (const int64_t context : {1024, 4096, 32768}) {
      for (const int64_t batch : {1, 8, 32, 128}) {
        if (quick && (context != 4096 || batch == 8)) continue;
        Time({.ranks = ranks, .sequences = batch, .context = context}, limits);
      }
    }
    for (const int64_t prompt : {4096, 16384}) {
      if (quick && prompt != 4096) continue;
      Time({.ranks = ranks, .rows = prompt, .context = prompt}, limits);
    }
  }
  return 0;
}

}  // namespace
}  // namespace deeprack::bench

int main(int argc, char** argv) {
  return deeprack::bench::Main(argc > 1 && std::strcmp(argv[1], "--quick") == 0);
}
