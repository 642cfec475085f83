#include "kernels/cuda/sm90/gemm_formats.h"
#include "kernels/cuda/sm90/gemm_launch.h"

namespace deeprack::kernels::sm90 {

void LaunchBF16(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution) {
  LaunchGemm<BF16Format>(tokens, blocks, launch, execution);
}

}  // namespace deeprack::kernels::sm90
