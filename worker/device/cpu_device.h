// The host's processor as a device: its memory is the host's, and nothing is ever waited for.
#pragma once

#include <memory>

#include "kernels/api/thread_pool.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// `kernels` outlive it.
std::unique_ptr<Device> MakeCpuDevice(const kernels::ThreadPoolOptions& pool,
                                      const kernels::KernelSet& kernels = kernels::CpuKernels());
// With a pool of `threads` (>= 1) computing threads, bound nowhere.
inline std::unique_ptr<Device> MakeCpuDevice(int threads,
                                             const kernels::KernelSet& kernels = kernels::CpuKernels()) {
  return MakeCpuDevice(kernels::ThreadPoolOptions{.threads = threads}, kernels);
}

}  // namespace deeprack::worker
