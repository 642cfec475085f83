// The kernel's instances, one translation unit for each format: launches the one for config.tokens. Those
// that read e4m3 can write it, too.
#pragma once

#include "kernels/cuda/sm90/gemm_kernel.h"

namespace deeprack::kernels::sm90 {

void LaunchE4M3(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);
void LaunchBF16(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);
void LaunchInt4(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);
void LaunchInt4E4M3(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution);

template <class Format, bool kQuantises>
void LaunchGemm(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution) {
  const dim3 grid(blocks);
  const auto with = [&]<int kTokens>() {
    LaunchWithShared(&GemmKernel<Format, kTokens, kQuantises>, grid, kGemmThreads,
                     GemmShared<Format, kTokens, kQuantises>::kBytes, execution, launch);
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

// Of a format with either output.
template <class Format>
void LaunchEither(int tokens, int blocks, const GemmLaunch& launch, const Execution& execution) {
  const bool quantises = launch.quantised.data != nullptr;
  (quantises ? LaunchGemm<Format, true> : LaunchGemm<Format, false>)(tokens, blocks, launch, execution);
}

}  // namespace deeprack::kernels::sm90
