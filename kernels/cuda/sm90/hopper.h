// The instructions of sm_90a that the kernels use, one function each. nvcc compiles them to PTX. The C++
// compiler compiles them to the emulation in kernels/cuda/sm90/emulator/hopper.h, which also checks barrier
// counts, descriptors, and operands that are overwritten or read too early.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/sm90/isa/layout.h"
#include "kernels/cuda/sm90/isa/tensor_map.h"

#if !defined(__CUDACC__)
#include "kernels/cuda/sm90/emulator/hopper.h"
#else

namespace deeprack::kernels::sm90 {

// An mbarrier. A phase ends when all expected threads have arrived and all expected bytes have been written.
// Wait takes the parity of the phase to wait for: 0 for the first phase, 1 for the second, and so on. Parity
// 1 passes at once on a new barrier.
struct Barrier {
  uint64_t word;
};

__device__ inline uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

extern __shared__ __align__(1024) uint8_t dynamic_shared[];
__device__ inline uint8_t* DynamicShared() { return dynamic_shared; }

__device__ inline void InitBarrier(Barrier& barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(&barrier)), "r"(arrivals));
}
// After InitBarrier, before any other thread or the copy engine uses the barriers (a __syncthreads follows).
__device__ inline void FenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void Arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(&barrier)) : "memory");
}
// Arrives. The phase then also waits for copies of `bytes` bytes.
__device__ inline void ArriveExpectBytes(Barrier& barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(&barrier)),
               "r"(bytes)
               : "memory");
}
__device__ inline void Wait(Barrier& barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra ready;\n"
      "bra again;\n"
      "ready:\n"
      "}" ::"r"(SharedAddress(&barrier)),
      "r"(parity)
      : "memory");
}

// How the L2 treats the bytes of a copy: the policy words of createpolicy.fractional for a fraction of 1.
inline constexpr uint64_t kEvictFirst = 0x12f0000000000000ull;
inline constexpr uint64_t kEvictNormal = 0x1000000000000000ull;
inline constexpr uint64_t kEvictLast = 0x14f0000000000000ull;

// Copies the box at (c0, c1, c2) of the map into shared memory and counts its bytes at the barrier: the box's
// full size, also where the box reaches beyond the tensor. One thread calls this.
__device__ inline void CopyBox(void* to, const TensorMap& map, int c0, int c1, int c2, Barrier& barrier,
                               uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, "
      "{%2, %3, %4}], "
      "[%5], %6;" ::"r"(SharedAddress(to)),
      "l"(&map), "r"(c0), "r"(c1), "r"(c2), "r"(SharedAddress(&barrier)), "l"(policy)
      : "memory");
}
// Copies `bytes` contiguous bytes. Both addresses and `bytes` are multiples of 16.
__device__ inline void CopyBytes(void* to, const void* from, uint32_t bytes, Barrier& barrier,
                                 uint64_t policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, "
      "[%3], %4;" ::"r"(SharedAddress(to)),
      "l"(from), "r"(bytes), "r"(SharedAddress(&barrier)), "l"(policy)
      : "memory");
}
__device__ inline void PrefetchMap(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// Makes ordinary stores to shared memory visible to copies and matrix products (the asynchronous proxy). Each
// thread that stored calls this, before the barrier after which the product is issued.
__device__ inline void FenceForAsync() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Waits for `threads` threads (a multiple of 32) at barrier `id` (1 to 15; 0 is __syncthreads).
__device__ inline void SyncNamed(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Sets the registers per thread. All warps of a warpgroup call this.
template <int kRegisters>
__device__ inline void RaiseRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void LowerRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

__device__ inline void ThreadFence() { __threadfence(); }
__device__ inline int AtomicAdd(int* at, int value) { return atomicAdd(at, value); }
// LoadThroughL2 reads values that other blocks have written, past the L1. LoadConstant reads values that no
// thread writes during the kernel.
__device__ inline Floats4 LoadThroughL2(const Floats4* p) {
  const float4 value = __ldcg(reinterpret_cast<const float4*>(p));
  return {value.x, value.y, value.z, value.w};
}
template <class T>
__device__ inline T LoadConstant(const T* p) {
  return __ldg(p);
}
template <class T>
__device__ inline T Shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
// Bit l is `here` of lane l.
__device__ inline uint32_t Ballot(bool here) { return __ballot_sync(0xffffffffu, here); }
__device__ inline int CountBits(uint32_t bits) { return __popc(bits); }
__device__ inline bool AnyInWarp(bool here) { return __any_sync(0xffffffffu, here); }
__device__ inline float Exp2(float x) { return exp2f(x); }
// Byte i of the result: byte (nibble i of the selector) of a (0 to 3) and b (4 to 7).
__device__ inline uint32_t PickBytes(uint32_t a, uint32_t b, uint32_t selector) {
  return __byte_perm(a, b, selector);
}
// Words that other cards read and write. A reader that has seen the word also sees the writes of earlier
// kernels and the writes of the block's threads before their last __syncthreads.
__device__ inline void StoreForPeers(uint32_t* at, uint32_t value) {
  asm volatile("fence.acq_rel.sys;\nst.release.sys.global.u32 [%0], %1;" ::"l"(at), "r"(value) : "memory");
}
__device__ inline uint32_t LoadFromPeers(const uint32_t* at) {
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
  return value;
}
__device__ inline uint64_t Nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

// a - b, two bf16 at a time.
__device__ inline uint32_t SubtractBF16x2(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}

// Two values to bf16, the first in the low half.
__device__ inline uint32_t TwoBF16(float low, float high) {
  uint32_t two;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(two) : "f"(high), "f"(low));
  return two;
}

// Four values to e4m3 (e4m3.h), the first in the lowest byte.
__device__ inline uint32_t FourE4M3(float a, float b, float c, float d) {
  uint16_t low, high;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(b), "f"(a));
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(d), "f"(c));
  return uint32_t{low} | uint32_t{high} << 16;
}

__device__ inline Floats4 FromFourE4M3(uint32_t four) {
  Floats4 values;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    uint32_t halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<uint16_t>(four >> (16 * i))));
    asm("{\n.reg .f16 low, high;\nmov.b32 {low, high}, %2;\ncvt.f32.f16 %0, low;\ncvt.f32.f16 %1, high;\n}"
        : "=f"(values.f[2 * i]), "=f"(values.f[2 * i + 1])
        : "r"(halves));
  }
  return values;
}

// Programmatic dependent launch. Every kernel waits for the kernels before it before it touches memory that
// they read or write. So a kernel may let the next kernel begin at any time.
__device__ inline void WaitForPrevious() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
__device__ inline void LetNextBegin() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

// Launches a kernel. An error is left for cudaGetLastError, as with every launch.
template <class Args>
void LaunchWithShared(void (*kernel)(Args), dim3 grid, int threads, uint32_t shared_bytes,
                      const Execution& execution, const Args& args) {
  if (shared_bytes > 0) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  }
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(execution.stream);
  config.attrs = &overlap;
  config.numAttrs = execution.overlap ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, args);
}

}  // namespace deeprack::kernels::sm90

#endif

namespace deeprack::kernels::sm90 {

// The first call of a kernel without a prologue: lets the next kernel begin and waits for the kernels before.
__device__ inline void BeginKernel() {
  LetNextBegin();
  WaitForPrevious();
}

template <class Args>
void Launch(void (*kernel)(Args), dim3 grid, int threads, const Execution& execution, const Args& args) {
  LaunchWithShared(kernel, grid, threads, 0, execution, args);
}

// The position in a ring of kStages buffers: the buffer, and the parity with which a consumer waits for a
// full buffer. The producer waits for a free buffer with the opposite parity.
template <int kStages>
struct Ring {
  int stage = 0;
  uint32_t parity = 0;
  constexpr void Next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

}  // namespace deeprack::kernels::sm90
