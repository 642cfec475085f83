// The host's processor as a device: its memory is the host's, and nothing is ever waited for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/api/cpu_kernels.h"
#include "kernels/api/thread_pool.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// Is told of fresh memory before any of it is touched, and may say where its pages are to lie.
using PlaceMemory = std::function<void(std::byte* data, int64_t bytes)>;

// `kernels` outlive it. Without `place_memory`, pages lie where the system puts them.
std::unique_ptr<Device> MakeCpuDevice(const kernels::ThreadPoolOptions& pool,
                                      const kernels::KernelSet& kernels = kernels::CpuKernels(),
                                      PlaceMemory place_memory = nullptr);
// With a pool of `threads` (>= 1) computing threads, bound nowhere.
inline std::unique_ptr<Device> MakeCpuDevice(int threads,
                                             const kernels::KernelSet& kernels = kernels::CpuKernels()) {
  return MakeCpuDevice(kernels::ThreadPoolOptions{.threads = threads}, kernels);
}

}  // namespace deeprack::worker
