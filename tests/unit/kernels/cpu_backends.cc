#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {

std::vector<const KernelSet*> KernelsUnderTest() { return AvailableCpuKernels(); }

}  // namespace deeprack::kernels
