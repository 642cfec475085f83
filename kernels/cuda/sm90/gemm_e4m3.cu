#include "kernels/cuda/sm90/gemm_formats.h"
#include "kernels/cuda/sm90/gemm_launch.h"

namespace deeprack::kernels::sm90 {

void LaunchE4M3(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution) {
  LaunchGemm<E4M3Format>(tokens, blocks, launch, execution);
}

}  // namespace deeprack::kernels::sm90
