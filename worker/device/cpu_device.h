// The host's processor as a device: its memory is the host's, and nothing is ever waited for.
#pragma once

#include <memory>

#include "worker/device/device.h"

namespace deeprack::worker {

// With a pool of `threads` (>= 1) computing threads. `kernels` outlive it.
std::unique_ptr<Device> MakeCpuDevice(int threads, const kernels::KernelSet& kernels = kernels::CpuKernels());

}  // namespace deeprack::worker
