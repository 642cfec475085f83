// Launches the product kernel's instance for a tile of `tokens` tokens. Each format's instances are compiled
// in a translation unit of their own.
#pragma once

#include "kernels/cuda/sm90/gemm_kernel.h"

namespace deeprack::kernels::sm90 {

void LaunchE4M3(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);
void LaunchBF16(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);
void LaunchInt4(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);
void LaunchInt4E4M3(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);

template <class Format>
void LaunchGemm(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution) {
  const dim3 grid(blocks);
  const auto with = [&]<int kTokens>() {
    LaunchWithShared(&GemmKernel<Format, kTokens>, grid, kGemmThreads, GemmShared<Format, kTokens>::kBytes,
                     execution, launch);
  };
  switch (tokens) {
    case 8:
      return with.template operator()<8>();
    case 16:
      return with.template operator()<16>();
    case 32:
      return with.template operator()<32>();
    case 64:
      return with.template operator()<64>();
    default:
      return with.template operator()<128>();
  }
}

}  // namespace deeprack::kernels::sm90
