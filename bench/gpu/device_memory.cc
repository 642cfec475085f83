#include "bench/gpu/device_memory.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace deeprack::bench {

void Check(int cuda_error, const char* what) {
  if (cuda_error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(static_cast<cudaError_t>(cuda_error)));
  std::exit(1);
}

void DeviceFree::operator()(void* p) const {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, p) == cudaSuccess && attributes.type == cudaMemoryTypeHost) {
    cudaFreeHost(p);
  } else {
    cudaFree(p);
  }
}

DeviceMemory OnDevice(const void* from, int64_t bytes) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, static_cast<size_t>(std::max<int64_t>(bytes, 1))), "cudaMalloc");
  Check(cudaMemcpy(memory, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice), "copy to the device");
  return DeviceMemory(memory);
}

DeviceMemory OnBoth(const void* from, int64_t bytes) {
  void* memory = nullptr;
  Check(cudaHostAlloc(&memory, static_cast<size_t>(bytes), cudaHostAllocMapped), "cudaHostAlloc");
  std::memcpy(memory, from, static_cast<size_t>(bytes));
  return DeviceMemory(memory);
}

DeviceMemory RandomOnDevice(int64_t bytes) {
  static const std::vector<uint32_t> pattern = [] {
    std::vector<uint32_t> words(size_t{4} << 20);
    std::mt19937 random(1);
    for (uint32_t& word : words) word = (random() & 0x8f8f8f8fu) | 0x30303030u;
    return words;
  }();
  const int64_t piece = static_cast<int64_t>(pattern.size() * sizeof(uint32_t));
  void* memory = nullptr;
  Check(cudaMalloc(&memory, static_cast<size_t>(bytes)), "cudaMalloc");
  // Copies the pattern once, then doubles the filled part until the memory is full.
  Check(
      cudaMemcpy(memory, pattern.data(), static_cast<size_t>(std::min(piece, bytes)), cudaMemcpyHostToDevice),
      "copy to the device");
  for (int64_t at = piece; at < bytes; at *= 2) {
    Check(cudaMemcpy(static_cast<char*>(memory) + at, memory, static_cast<size_t>(std::min(at, bytes - at)),
                     cudaMemcpyDeviceToDevice),
          "copy on the device");
  }
  return DeviceMemory(memory);
}

std::vector<uint8_t> OnHost(const void* from, int64_t bytes) {
  std::vector<uint8_t> copy(static_cast<size_t>(bytes));
  Check(cudaMemcpy(copy.data(), from, copy.size(), cudaMemcpyDeviceToHost), "copy to the host");
  return copy;
}

}  // namespace deeprack::bench
