#include "tests/unit/sm90/probe.h"

#include "base/check.h"
#include "kernels/cuda/sm90/wgmma.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr uint32_t kAt = 1024;  // a's place in shared memory; the barrier comes before it
constexpr uint32_t kPanel = 64 * kSwizzleBytes;

struct ProbeLaunch {
  TensorMap a, b;
  float* d;
};

constexpr bool HasBTransposed(Probe probe) {
  return probe == Probe::kBF16BTransposed || probe == Probe::kBF16BothTransposed ||
         probe == Probe::kBF16ARegistersBTransposed;
}
constexpr bool HasARegisters(Probe probe) {
  return probe == Probe::kE4M3ARegisters || probe == Probe::kBF16ARegisters ||
         probe == Probe::kBF16ARegistersBTransposed;
}
// Whether the operands are described as bytes.
constexpr bool OfE4M3(Probe probe) {
  return probe == Probe::kE4M3 || probe == Probe::kE4M3ARegisters || probe == Probe::kBF16ThenE4M3;
}

template <Probe kProbe, int N>
__global__ void __launch_bounds__(kWarpgroup, 1) ProbeKernel(const __grid_constant__ ProbeLaunch launch) {
  constexpr bool kATransposed = kProbe == Probe::kBF16ATransposed || kProbe == Probe::kBF16BothTransposed;
  constexpr bool kBTransposed = HasBTransposed(kProbe);
  uint8_t* const shared = DynamicShared();
  Barrier& barrier = *reinterpret_cast<Barrier*>(shared);
  uint8_t* const a = shared + kAt;
  uint8_t* const b = a + kPanel;
  if (threadIdx.x == 0) {
    InitBarrier(barrier, 1);
    FenceBarrierInit();
    ArriveExpectBytes(barrier, kPanel + N * kSwizzleBytes);
    CopyBox(a, launch.a, 0, 0, 0, barrier, kEvictFirst);
    if (kBTransposed) {
      for (int panel = 0; panel < N / 64; ++panel)
        CopyBox(b + panel * kPanel, launch.b, panel * 64, 0, 0, barrier, kEvictFirst);
    } else {
      CopyBox(b, launch.b, 0, 0, 0, barrier, kEvictFirst);
    }
  }
  __syncthreads();
  Wait(barrier, 0);
  const int thread = static_cast<int>(threadIdx.x);
  float d[N / 2];
  for (int i = 0; i < N / 2; ++i) d[i] = 1e30f;  // the first product must not add to it
  KeepInPlace(d);
  const uint64_t a_descriptor = kATransposed ? MnMajor(SharedAddress(a), kPanel) : KMajor(SharedAddress(a));
  const uint64_t b_descriptor = kBTransposed ? MnMajor(SharedAddress(b), kPanel) : KMajor(SharedAddress(b));
  if constexpr (kProbe == Probe::kBF16ThenE4M3) {
    FenceProducts();
    for (int step = 0; step < 2; ++step) {
      ProductBF16<N, false, false>(d, Advance(a_descriptor, step * 32), Advance(b_descriptor, step * 32),
                                   step > 0);
    }
    FenceProducts();
    for (int step = 2; step < 4; ++step)
      ProductE4M3<N>(d, Advance(a_descriptor, step * 32), Advance(b_descriptor, step * 32), true);
    CommitProducts();
    WaitProducts<0>();
    KeepInPlace(d);
  }
#pragma unroll
  for (int step = 0; step < (kProbe == Probe::kBF16ThenE4M3 ? 0 : 4); ++step) {
    const uint64_t a_step = Advance(a_descriptor, kATransposed ? step * 16 * kSwizzleBytes : step * 32);
    const uint64_t b_step = Advance(b_descriptor, kBTransposed ? step * 16 * kSwizzleBytes : step * 32);
    if constexpr (HasARegisters(kProbe)) {
      uint32_t fragment[4];
      for (int j = 0; j < 4; ++j) {
        const int column = OfE4M3(kProbe) ? ByteFragmentColumn(thread, j) : FragmentColumn(thread, j) * 2;
        const uint32_t at = SharedAddress(a) + static_cast<uint32_t>(FragmentRow(thread, j)) * kSwizzleBytes +
                            static_cast<uint32_t>(step * 32 + column);
        fragment[j] = *reinterpret_cast<const uint32_t*>(shared + (Swizzle128(at) - SharedAddress(shared)));
      }
      FenceProducts();
      if constexpr (OfE4M3(kProbe)) {
        ProductE4M3Registers<N>(d, fragment, b_step, step > 0);
      } else {
        ProductBF16Registers<N, kBTransposed>(d, fragment, b_step, step > 0);
      }
    } else {
      FenceProducts();
      if constexpr (kProbe == Probe::kE4M3) {
        ProductE4M3<N>(d, a_step, b_step, step > 0);
      } else {
        ProductBF16<N, kATransposed, kBTransposed>(d, a_step, b_step, step > 0);
      }
    }
    CommitProducts();
    WaitProducts<0>();
    KeepInPlace(d);
  }
  for (int i = 0; i < N / 2; ++i)
    launch.d[AccumulatorRow(thread, i) * N + AccumulatorColumn(thread, i)] = d[i];
}

template <Probe kProbe, int N>
void Run(const void* a, const void* b, float* d, const Execution& execution) {
  constexpr bool kBTransposed = HasBTransposed(kProbe);
  constexpr DType kType = OfE4M3(kProbe) ? DType::kF8E4M3 : DType::kBF16;
  constexpr int kColumns = OfE4M3(kProbe) ? 128 : 64;
  const ProbeLaunch launch{
      EncodeTensorMap(MatrixMap(a, kType, 64, kColumns, kColumns, 64, kColumns, true)),
      EncodeTensorMap(kBTransposed ? MatrixMap(b, kType, 64, N, N, 64, 64, true)
                                   : MatrixMap(b, kType, N, kColumns, kColumns, N, kColumns, true)),
      d};
  LaunchWithShared(&ProbeKernel<kProbe, N>, dim3(1), kWarpgroup, kAt + kPanel + 128 * kSwizzleBytes,
                   execution, launch);
}

}  // namespace

void RunProbe(Probe probe, int n, const void* a, const void* b, float* d, const Execution& execution) {
  const auto sized = [&]<Probe kProbe>() {
    if (n == 8) return Run<kProbe, 8>(a, b, d, execution);
    if (n == 16) return Run<kProbe, 16>(a, b, d, execution);
    if (n == 32) return Run<kProbe, 32>(a, b, d, execution);
    if (n == 64) return Run<kProbe, 64>(a, b, d, execution);
    DR_CHECK(n == 128);
    Run<kProbe, 128>(a, b, d, execution);
  };
  switch (probe) {
    case Probe::kE4M3:
      return sized.template operator()<Probe::kE4M3>();
    case Probe::kBF16ThenE4M3:
      return sized.template operator()<Probe::kBF16ThenE4M3>();
    case Probe::kE4M3ARegisters:
      return sized.template operator()<Probe::kE4M3ARegisters>();
    case Probe::kBF16:
      return sized.template operator()<Probe::kBF16>();
    case Probe::kBF16ATransposed:
      return sized.template operator()<Probe::kBF16ATransposed>();
    case Probe::kBF16ARegisters:
      return sized.template operator()<Probe::kBF16ARegisters>();
    case Probe::kBF16BTransposed:
      return n == 64 ? Run<Probe::kBF16BTransposed, 64>(a, b, d, execution)
                     : Run<Probe::kBF16BTransposed, 128>(a, b, d, execution);
    case Probe::kBF16ARegistersBTransposed:
      return n == 64 ? Run<Probe::kBF16ARegistersBTransposed, 64>(a, b, d, execution)
                     : Run<Probe::kBF16ARegistersBTransposed, 128>(a, b, d, execution);
    case Probe::kBF16BothTransposed:
      return n == 64 ? Run<Probe::kBF16BothTransposed, 64>(a, b, d, execution)
                     : Run<Probe::kBF16BothTransposed, 128>(a, b, d, execution);
  }
}

}  // namespace deeprack::kernels::sm90
