// The host's processor as a device. Its memory is the host's; every call completes before it returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/api/cpu_kernels.h"
#include "kernels/api/thread_pool.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// Called with new memory before the memory is touched. May bind its pages to NUMA nodes.
using PlaceMemory = std::function<void(std::byte* data, int64_t bytes)>;

// `kernels` must outlive the device. Without `place_memory` the system chooses where pages are.
std::unique_ptr<Device> MakeCpuDevice(const kernels::ThreadPoolOptions& pool,
                                      const kernels::KernelSet& kernels = kernels::CpuKernels(),
                                      PlaceMemory place_memory = nullptr);
// With a pool of `threads` (>= 1) computing threads that are not bound to processors.
inline std::unique_ptr<Device> MakeCpuDevice(int threads,
                                             const kernels::KernelSet& kernels = kernels::CpuKernels()) {
  return MakeCpuDevice(kernels::ThreadPoolOptions{.threads = threads}, kernels);
}

}  // namespace deeprack::worker
