// What the CPU's kernels need, of whatever instruction set.
#pragma once

#include "kernels/api/kernel_needs.h"

namespace deeprack::kernels {

inline constexpr KernelNeeds kCpuNeeds = {.multiplies_blocks = true};

}  // namespace deeprack::kernels
