// The suite over the source of the plain CUDA kernels, run block by block on the host. With --reversed the
// threads of a block run last to first between barriers: a missing barrier shows in one of the two orders.
#include <cstring>

#include "kernels/cuda/emulator/block.h"
#include "kernels/cuda/plain/operations.h"
#include "tests/unit/kernels/kernel_test.h"

namespace deeprack::kernels {

std::vector<const KernelSet*> KernelsUnderTest() { return {&plain::Kernels()}; }

}  // namespace deeprack::kernels

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--reversed") == 0) deeprack::kernels::host::SetReversed(true);
  }
  return RUN_ALL_TESTS();
}
