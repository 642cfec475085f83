// Sixteen floats as one value. All vector code is written in these operations. The including file is compiled
// once for each instruction set: DEEPRACK_SIMD names the set's namespace, DEEPRACK_SIMD_LEVEL chooses the
// representation.
//
// All instruction sets give the same bits: fused multiply-adds are explicit, reductions have one order, exp
// is the polynomial below. Everything here has internal linkage (see parallel.h).
#pragma once

#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "kernels/api/execution.h"
#include "kernels/cpu/parallel.h"

#define DEEPRACK_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

namespace deeprack::kernels::DEEPRACK_SIMD {

DEEPRACK_INLINE float BitsToFloat(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}
DEEPRACK_INLINE uint32_t FloatToBits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits;
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD

// Each representation has SumLanes and MaxLanes, which fold halves of the sixteen lanes onto each other.
#if DEEPRACK_SIMD_LEVEL >= 2
#include "kernels/cpu/simd_avx512.h"  // IWYU pragma: export
#elif DEEPRACK_SIMD_LEVEL == 1
#include "kernels/cpu/simd_avx2.h"  // IWYU pragma: export
#else
#include "kernels/cpu/simd_generic.h"  // IWYU pragma: export
#endif

namespace deeprack::kernels::DEEPRACK_SIMD {

DEEPRACK_INLINE int64_t Lower(int64_t a, int64_t b) { return a < b ? a : b; }
DEEPRACK_INLINE int64_t Higher(int64_t a, int64_t b) { return a > b ? a : b; }

// The first n <= 16 values of p, then zeros. Reads no other values.
template <class T>
DEEPRACK_INLINE F16 LoadFirst(const T* p, int64_t n) {
  if (n >= 16) return Load(p);
  T lanes[16] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return Load(lanes);
}

// Writes the first n <= 16 values and no others.
template <class T>
DEEPRACK_INLINE void StoreFirst(T* p, F16 a, int64_t n) {
  if (n >= 16) return Store(p, a);
  T lanes[16];
  Store(lanes, a);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

// e^x, relative error below 2e-7; 0 below -87 (where results turn subnormal), e^88 above 88, NaN for NaN.
// x = n ln 2 + r, |r| <= ln 2 / 2 (two-part ln 2, Cody and Waite); e^r by its Taylor polynomial of degree 7.
DEEPRACK_INLINE F16 Exp(F16 x) {
  const F16 lowest = Set1(-87.0f);
  const F16 y = Max(lowest, Min(Set1(88.0f), x));
  const F16 rounder = Set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const F16 shifted = Fma(y, Set1(1.44269504088896341f), rounder);
  const F16 n = Sub(shifted, rounder);
  F16 r = Fma(n, Set1(-0.693359375f), y);
  r = Fma(n, Set1(2.12194440e-4f), r);
  F16 p = Set1(1.0f / 5040);
  p = Fma(p, r, Set1(1.0f / 720));
  p = Fma(p, r, Set1(1.0f / 120));
  p = Fma(p, r, Set1(1.0f / 24));
  p = Fma(p, r, Set1(1.0f / 6));
  p = Fma(p, r, Set1(0.5f));
  p = Fma(p, r, Set1(1.0f));
  p = Fma(p, r, Set1(1.0f));
  return ZeroWhereLess(x, lowest, AddToExponent(p, shifted));
}

// Calls body(i) for i in [0, tasks) on the pool.
template <class Body>
static void ParallelFor(const Execution& execution, int64_t tasks, Body body) {
  RunParallel(
      execution, tasks, [](void* context, int64_t i) { (*static_cast<Body*>(context))(i); }, &body);
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
