// The register-blocked product that matrix products and attention share.
#pragma once

#include "kernels/api/packed_weight.h"
#include "kernels/cpu/simd.h"

namespace deeprack::kernels::DEEPRACK_SIMD {

// The element type of an expanded tile that is multiplied with rows of type X.
template <class X>
struct TileElementOf {
  using Type = float;
};
template <class X>
using TileElement = typename TileElementOf<X>::Type;

template <int R, int P>
struct Accumulators {
  F16 v[R][P];
};

template <int R, int P>
DEEPRACK_INLINE void Clear(Accumulators<R, P>& acc) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) acc.v[r][p] = Set1(0.0f);
  }
}

// result[r][p] += sum over ascending k of x[r][k] * W_p[k], with one fused multiply-add for each k. W_p[k] is
// the 16 values at w + p * panel_stride + k * 16.
template <class T, int R, int P>
DEEPRACK_INLINE void Accumulate(const float* const* x, int64_t first_k, int64_t count, const T* w,
                                int64_t panel_stride, Accumulators<R, P>& result) {
  Accumulators<R, P> acc = result;  // a local copy stays in registers
  const float* rows[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) rows[r] = x[r] + first_k;
  int64_t k = 0;
  if constexpr (sizeof(T) == 1) {
    for (; k + 4 <= count; k += 4) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        F16 values[4];
        Load4(w + p * panel_stride + k * 16, values);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) acc.v[r][p] = Fma(Set1(rows[r][k + j]), values[j], acc.v[r][p]);
        }
      }
    }
  }
  for (; k < count; ++k) {
    F16 values[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) values[p] = Load(w + p * panel_stride + k * 16);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const F16 a = Set1(rows[r][k]);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) acc.v[r][p] = Fma(a, values[p], acc.v[r][p]);
    }
  }
  result = acc;
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
