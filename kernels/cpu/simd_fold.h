// Folds halves of a register's lanes onto each other, for processors with AVX.
#pragma once

#include <immintrin.h>

namespace deeprack::kernels::DEEPRACK_SIMD {

DEEPRACK_INLINE float SumLanes(__m128 a) {
  a = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
}
DEEPRACK_INLINE float MaxLanes(__m128 a) {
  a = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}
DEEPRACK_INLINE float SumLanes(__m256 a) {
  return SumLanes(_mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
}
DEEPRACK_INLINE float MaxLanes(__m256 a) {
  return MaxLanes(_mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
