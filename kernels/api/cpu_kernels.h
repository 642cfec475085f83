// The CPU's kernels: one KernelSet for each vector instruction set that the processor has.
#pragma once

#include <vector>

#include "kernels/api/kernel_set.h"

namespace deeprack::kernels {

// What the CPU's kernels need, with any instruction set.
inline constexpr KernelNeeds kCpuNeeds = {.multiplies_blocks = true};

// The sets that this processor can run, slowest first: generic always, then avx2, avx512, avx512_bf16.
std::vector<const KernelSet*> AvailableCpuKernels();

// The fastest available set, or the one that the environment's DEEPRACK_CPU_KERNELS names. The first call
// chooses; all calls return the same set.
const KernelSet& CpuKernels();

}  // namespace deeprack::kernels
