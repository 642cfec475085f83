// The table of operations that a card runs: plain, but for those that the choice gives to Hopper kernels.
#pragma once

#include "kernels/api/kernel_set.h"
#include "kernels/cuda/choice/kernel_choice.h"

namespace deeprack::kernels::hopper {

// Named "cuda-plain" or, with any Hopper kernel in it, "cuda-sm90".
KernelSet KernelsFor(const KernelChoice& choice);

}  // namespace deeprack::kernels::hopper
