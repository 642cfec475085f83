#include "bench/gpu/graph_timer.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>

#include "bench/gpu/device_memory.h"

namespace deeprack::bench {
namespace {

constexpr int kRounds = 9;  // results are medians of this many rounds
constexpr int64_t kIterations = 24;

std::vector<uint8_t> ResultOf(const GraphCase& kernel, cudaStream_t stream) {
  kernel.run(0, {.stream = stream});
  Check(cudaGetLastError(), kernel.name.c_str());
  Check(cudaStreamSynchronize(stream), kernel.name.c_str());
  return OnHost(kernel.out, kernel.out_bytes);
}

// Median seconds of one run, measured with kIterations runs in one graph.
double SecondsInGraph(const std::function<void(int64_t, const kernels::Execution&)>& run) {
  cudaStream_t stream;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int64_t i = 0; i < kIterations; ++i) run(i, {.stream = stream});
  cudaGraph_t graph;
  Check(cudaStreamEndCapture(stream, &graph), "capture");
  cudaGraphExec_t ready;
  Check(cudaGraphInstantiate(&ready, graph, 0), "graph");
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  std::vector<double> rounds;
  for (int i = -1; i < kRounds; ++i) {  // the first warms up
    Check(cudaEventRecord(begin, stream), "event");
    Check(cudaGraphLaunch(ready, stream), "graph");
    Check(cudaEventRecord(end, stream), "event");
    Check(cudaEventSynchronize(end), "run");
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (i >= 0) rounds.push_back(static_cast<double>(milliseconds) * 1e-3 / static_cast<double>(kIterations));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

}  // namespace

bool TimeInGraph(const GraphCase& kernel, const CardLimits& limits) {
  cudaStream_t stream;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  const std::vector<uint8_t> first = ResultOf(kernel, stream), second = ResultOf(kernel, stream);
  cudaStreamDestroy(stream);
  const bool same = first == second;
  const double seconds = SecondsInGraph(kernel.run);
  const double peak = limits.flops_per_second * (kernel.fp8 ? 2 : 1);
  const double floor = std::max(kernel.bytes / limits.bytes_per_second, peak > 0 ? kernel.flops / peak : 0.0);
  std::printf("%-52s %10.1f us %8.0f GB/s %8.1f TFLOPS %6.1f%% of floor  %s\n", kernel.name.c_str(),
              seconds * 1e6, kernel.bytes / seconds * 1e-9, kernel.flops / seconds * 1e-12,
              100 * floor / seconds, same ? "same bits" : "DIFFERENT BITS");
  std::fflush(stdout);
  return same;
}

}  // namespace deeprack::bench
