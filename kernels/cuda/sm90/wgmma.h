// Warpgroup matrix products: d[64, N] = a[64, K] * b[K, N] (+ d), fp32 accumulators in registers (layout.h:
// AccumulatorRow, AccumulatorColumn), one instruction for K of 32 bytes. Issued by all 128 threads of a
// warpgroup; asynchronous:
//   FenceProducts(); Product...(); CommitProducts(); WaitProducts<0>(); then d may be read, and shared memory
//   overwritten.
// The fence orders earlier accesses to d (and to a in registers) before the product.
#pragma once

#include "kernels/cuda/sm90/hopper.h"

#if defined(__CUDACC__)

namespace deeprack::kernels::sm90 {

__device__ inline void FenceProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void CommitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most kPending committed groups are unfinished.
template <int kPending>
__device__ inline void WaitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving accesses to d across the place where the hardware reads and writes it.
template <int kCount>
__device__ inline void KeepInPlace(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

#define DR_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define DR_D8(i) DR_D4(i), DR_D4(i + 4)
#define DR_D16(i) DR_D8(i), DR_D8(i + 8)
#define DR_D32(i) DR_D16(i), DR_D16(i + 16)
#define DR_D64 DR_D32(0), DR_D32(32)
#define DR_N4 "%0,%1,%2,%3"
#define DR_N8 DR_N4 ",%4,%5,%6,%7"
#define DR_N16 DR_N8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define DR_N32 DR_N16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define DR_N64                                                                                         \
  DR_N32                                                                                               \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%" \
  "56,"                                                                                                \
  "%57,%58,%59,%60,%61,%62,%63"

// n: N as a word; names: the accumulators' operand numbers; a, b, p: the numbers after them; d: the operands
// themselves.
#define DR_E4M3(n, names, a, b, p, ...)                                                         \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " p                                        \
               ", 0;\n"                                                                         \
               "wgmma.mma_async.sync.aligned.m64n" n "k32.f32.e4m3.e4m3 {" names "}, " a ", " b \
               ", add, 1, 1;\n}"                                                                \
               : __VA_ARGS__                                                                    \
               : "l"(a_descriptor), "l"(b_descriptor), "r"(static_cast<int>(accumulate)))
#define DR_E4M3A(n, names, a0, a1, a2, a3, b, p, ...)                                                    \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " p                                                 \
               ", 0;\n"                                                                                  \
               "wgmma.mma_async.sync.aligned.m64n" n "k32.f32.e4m3.e4m3 {" names "}, {" a0 "," a1 "," a2 \
               "," a3 "}, " b ", add, 1, 1;\n}"                                                          \
               : __VA_ARGS__                                                                             \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b_descriptor),                          \
                 "r"(static_cast<int>(accumulate)))
#define DR_BF16(n, names, a, b, p, ta, tb, ...)                                                 \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " p                                        \
               ", 0;\n"                                                                         \
               "wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" names "}, " a ", " b \
               ", add, 1, 1, " ta ", " tb ";\n}"                                                \
               : __VA_ARGS__                                                                    \
               : "l"(a_descriptor), "l"(b_descriptor), "r"(static_cast<int>(accumulate)),       \
                 "n"(kAMnMajor ? 1 : 0), "n"(kBMnMajor ? 1 : 0))
#define DR_BF16A(n, names, a0, a1, a2, a3, b, p, tb, ...)                                                \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " p                                                 \
               ", 0;\n"                                                                                  \
               "wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" names "}, {" a0 "," a1 "," a2 \
               "," a3 "}, " b ", add, 1, 1, " tb ";\n}"                                                  \
               : __VA_ARGS__                                                                             \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b_descriptor),                          \
                 "r"(static_cast<int>(accumulate)), "n"(kBMnMajor ? 1 : 0))

// a [64, 32], b [N, 32], both e4m3 and K-major in shared memory.
template <int N>
__device__ inline void ProductE4M3(float (&d)[N / 2], uint64_t a_descriptor, uint64_t b_descriptor,
                                   bool accumulate) {
  static_assert(N == 8 || N == 16 || N == 32 || N == 64 || N == 128);
  if constexpr (N == 8) DR_E4M3("8", DR_N4, "%4", "%5", "%6", DR_D4(0));
  if constexpr (N == 16) DR_E4M3("16", DR_N8, "%8", "%9", "%10", DR_D8(0));
  if constexpr (N == 32) DR_E4M3("32", DR_N16, "%16", "%17", "%18", DR_D16(0));
  if constexpr (N == 64) DR_E4M3("64", DR_N32, "%32", "%33", "%34", DR_D32(0));
  if constexpr (N == 128) DR_E4M3("128", DR_N64, "%64", "%65", "%66", DR_D64);
}

// a [64, 32] e4m3 in registers (layout.h: FragmentRow, ByteFragmentColumn), b [N, 32] e4m3, K-major in shared
// memory.
template <int N>
__device__ inline void ProductE4M3Registers(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b_descriptor,
                                            bool accumulate) {
  static_assert(N == 8 || N == 16 || N == 32 || N == 64 || N == 128);
  if constexpr (N == 8) DR_E4M3A("8", DR_N4, "%4", "%5", "%6", "%7", "%8", "%9", DR_D4(0));
  if constexpr (N == 16) DR_E4M3A("16", DR_N8, "%8", "%9", "%10", "%11", "%12", "%13", DR_D8(0));
  if constexpr (N == 32) DR_E4M3A("32", DR_N16, "%16", "%17", "%18", "%19", "%20", "%21", DR_D16(0));
  if constexpr (N == 64) DR_E4M3A("64", DR_N32, "%32", "%33", "%34", "%35", "%36", "%37", DR_D32(0));
  if constexpr (N == 128) DR_E4M3A("128", DR_N64, "%64", "%65", "%66", "%67", "%68", "%69", DR_D64);
}

// a [64, 16], b [N, 16], both bf16 in shared memory, each K-major or MN-major.
template <int N, bool kAMnMajor, bool kBMnMajor>
__device__ inline void ProductBF16(float (&d)[N / 2], uint64_t a_descriptor, uint64_t b_descriptor,
                                   bool accumulate) {
  static_assert(N == 8 || N == 16 || N == 32 || N == 64 || N == 128);
  if constexpr (N == 8) DR_BF16("8", DR_N4, "%4", "%5", "%6", "%7", "%8", DR_D4(0));
  if constexpr (N == 16) DR_BF16("16", DR_N8, "%8", "%9", "%10", "%11", "%12", DR_D8(0));
  if constexpr (N == 32) DR_BF16("32", DR_N16, "%16", "%17", "%18", "%19", "%20", DR_D16(0));
  if constexpr (N == 64) DR_BF16("64", DR_N32, "%32", "%33", "%34", "%35", "%36", DR_D32(0));
  if constexpr (N == 128) DR_BF16("128", DR_N64, "%64", "%65", "%66", "%67", "%68", DR_D64);
}

// a [64, 16] bf16 in registers (layout.h: FragmentRow, FragmentColumn), b [N, 16] bf16 in shared memory,
// K-major or MN-major.
template <int N, bool kBMnMajor = false>
__device__ inline void ProductBF16Registers(float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b_descriptor,
                                            bool accumulate) {
  static_assert(N == 8 || N == 16 || N == 32 || N == 64 || N == 128);
  if constexpr (N == 8) DR_BF16A("8", DR_N4, "%4", "%5", "%6", "%7", "%8", "%9", "%10", DR_D4(0));
  if constexpr (N == 16) DR_BF16A("16", DR_N8, "%8", "%9", "%10", "%11", "%12", "%13", "%14", DR_D8(0));
  if constexpr (N == 32) DR_BF16A("32", DR_N16, "%16", "%17", "%18", "%19", "%20", "%21", "%22", DR_D16(0));
  if constexpr (N == 64) DR_BF16A("64", DR_N32, "%32", "%33", "%34", "%35", "%36", "%37", "%38", DR_D32(0));
  if constexpr (N == 128) DR_BF16A("128", DR_N64, "%64", "%65", "%66", "%67", "%68", "%69", "%70", DR_D64);
}

#undef DR_D4
#undef DR_D8
#undef DR_D16
#undef DR_D32
#undef DR_D64
#undef DR_N4
#undef DR_N8
#undef DR_N16
#undef DR_N32
#undef DR_N64
#undef DR_E4M3
#undef DR_E4M3A
#undef DR_BF16
#undef DR_BF16A

}  // namespace deeprack::kernels::sm90

#endif
