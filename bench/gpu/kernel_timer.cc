#include "bench/gpu/kernel_timer.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "bench/gpu/device_memory.h"

namespace deeprack::bench {
namespace {

constexpr int kWarmUp = 3;
constexpr int kRounds = 9;  // results are medians of this many rounds
constexpr double kRoundSeconds = 0.02;
constexpr int64_t kMostIterations = 2000;

// Mean seconds of `iterations` runs in a row.
double Round(const std::function<void(int64_t)>& run, int64_t iterations) {
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin), "event");
  Check(cudaEventCreate(&end), "event");
  Check(cudaEventRecord(begin), "event");
  for (int64_t i = 0; i < iterations; ++i) run(i);
  Check(cudaEventRecord(end), "event");
  Check(cudaEventSynchronize(end), "run");
  float milliseconds = 0;
  Check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return static_cast<double>(milliseconds) * 1e-3 / static_cast<double>(iterations);
}

double MedianSeconds(const std::function<void(int64_t)>& run) {
  Round(run, kWarmUp);
  const double once = std::max(Round(run, 1), 1e-7);
  const auto iterations = std::clamp(static_cast<int64_t>(kRoundSeconds / once), int64_t{1}, kMostIterations);
  std::vector<double> rounds;
  for (int i = 0; i < kRounds; ++i) rounds.push_back(Round(run, iterations));
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

std::vector<uint8_t> ResultOf(const KernelCase& kernel) {
  if (kernel.reset) kernel.reset();
  kernel.run(0);
  Check(cudaGetLastError(), kernel.name.c_str());
  Check(cudaDeviceSynchronize(), kernel.name.c_str());
  return OnHost(kernel.out, kernel.out_bytes);
}

}  // namespace

CardLimits MeasureCard() {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, 0), "no card");
  constexpr int64_t kBytes = int64_t{1} << 30;
  const DeviceMemory from = RandomOnDevice(kBytes), to = RandomOnDevice(kBytes);
  const double seconds = MedianSeconds([&](int64_t) {
    Check(cudaMemcpyAsync(to.get(), from.get(), kBytes, cudaMemcpyDeviceToDevice), "copy");
  });
  const CardLimits limits{.bytes_per_second = 2.0 * static_cast<double>(kBytes) / seconds,
                          .flops_per_second = properties.major == 9 ? 989e12 : 0};
  std::printf("%s, %d SMs, copy %.0f GB/s; bf16 matrix peak %s\n", properties.name,
              properties.multiProcessorCount, limits.bytes_per_second * 1e-9,
              limits.flops_per_second > 0 ? "989 TFLOPS (data sheet)" : "not known");
  return limits;
}

bool TimeKernel(const KernelCase& kernel, const CardLimits& limits) {
  const std::vector<uint8_t> first = ResultOf(kernel), second = ResultOf(kernel);
  const bool same = first == second;
  const double seconds = MedianSeconds(kernel.run);
  const double by_flops = limits.flops_per_second > 0 ? kernel.flops / limits.flops_per_second : 0;
  const double floor = std::max(kernel.bytes / limits.bytes_per_second, by_flops);
  std::printf("%-46s %10.1f us %8.0f GB/s %8.1f TFLOPS %6.1f%% of floor  %s\n", kernel.name.c_str(),
              seconds * 1e6, kernel.bytes / seconds * 1e-9, kernel.flops / seconds * 1e-12,
              100 * floor / seconds, same ? "same bits" : "DIFFERENT BITS");
  return same;
}

}  // namespace deeprack::bench
