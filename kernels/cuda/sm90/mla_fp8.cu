#include "base/check.h"
#include "kernels/cuda/sm90/mla_fp8_kernel.h"

namespace deeprack::kernels::sm90 {

void LaunchMlaFp8(int columns, dim3 grid, const MlaLaunch& launch, const Execution& execution) {
  const auto with = [&]<int kColumns>() {
    LaunchWithShared(&MlaFp8Kernel<kColumns>, grid, kMlaThreads, MlaFp8Shared<kColumns>::kBytes, execution,
                     launch);
  };
  if (columns == 16) return with.template operator()<16>();
  if (columns == 32) return with.template operator()<32>();
  DR_CHECK(columns == 64);
  with.template operator()<64>();
}

}  // namespace deeprack::kernels::sm90
