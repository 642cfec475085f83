// Sixteen floats in two AVX registers. Needs AVX2, FMA and F16C.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/simd_fold.h"

namespace deeprack::kernels::DEEPRACK_SIMD {

// 12 accumulators, 2 weights and a broadcast of 16 registers.
inline constexpr int kDirectRows = 6;
constexpr int DirectPanels(int rows, bool fp8) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }
inline constexpr int kTileRows = 6;
inline constexpr int kTilePanels = 1;

struct F16 {
  __m256 lo, hi;
};

DEEPRACK_INLINE F16 Set1(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
DEEPRACK_INLINE F16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
DEEPRACK_INLINE __m256 WidenBf16(__m128i p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(p), 16));
}
DEEPRACK_INLINE F16 Load(const bf16* p) {
  const __m128i* q = reinterpret_cast<const __m128i*>(p);
  return {WidenBf16(_mm_loadu_si128(q)), WidenBf16(_mm_loadu_si128(q + 1))};
}
// e4m3's bits fit fp16's fields with an exponent bias 8 lower, so fp16 hardware reads value * 2^-8,
// subnormals too.
DEEPRACK_INLINE F16 Load(const fp8_e4m3* p) {
  const __m256i byte = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i magnitude = _mm256_slli_epi16(_mm256_and_si256(byte, _mm256_set1_epi16(0x7f)), 7);
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(byte, _mm256_set1_epi16(0x80)), 8);
  const __m256i nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7f << 7));
  __m256i half = _mm256_or_si256(magnitude, sign);
  half = _mm256_or_si256(half, _mm256_and_si256(nan, _mm256_set1_epi16(0x7e00)));
  const __m256 scale = _mm256_set1_ps(0x1p8f);
  return {_mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(half)), scale),
          _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(half, 1)), scale)};
}
DEEPRACK_INLINE void Load4(const fp8_e4m3* p, F16 (&r)[4]) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) r[j] = Load(p + 16 * j);
}
DEEPRACK_INLINE void Store(float* p, F16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
DEEPRACK_INLINE __m256i RoundToBf16(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), nan);
}
DEEPRACK_INLINE void Store(bf16* p, F16 a) {
  const __m256i packed = _mm256_packus_epi32(RoundToBf16(a.lo), RoundToBf16(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
DEEPRACK_INLINE F16 Add(F16 a, F16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
DEEPRACK_INLINE F16 Sub(F16 a, F16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
DEEPRACK_INLINE F16 Mul(F16 a, F16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
DEEPRACK_INLINE F16 Div(F16 a, F16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
DEEPRACK_INLINE F16 Fma(F16 a, F16 b, F16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
DEEPRACK_INLINE F16 Max(F16 a, F16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
DEEPRACK_INLINE F16 Min(F16 a, F16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
DEEPRACK_INLINE F16 ZeroWhereLess(F16 a, F16 b, F16 value) {
  return {_mm256_and_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_NLT_UQ), value.lo),
          _mm256_and_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_NLT_UQ), value.hi)};
}
DEEPRACK_INLINE __m256 AddToExponent(__m256 a, __m256 n) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
}
DEEPRACK_INLINE F16 AddToExponent(F16 a, F16 n) {
  return {AddToExponent(a.lo, n.lo), AddToExponent(a.hi, n.hi)};
}
DEEPRACK_INLINE void StoreTransposed(const F16 (&rows)[16], float* p) {
  alignas(32) float lane[16];
  for (int j = 0; j < 16; ++j) {
    Store(lane, rows[j]);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) p[i * 16 + j] = lane[i];
  }
}

DEEPRACK_INLINE float SumLanes(F16 a) { return SumLanes(_mm256_add_ps(a.lo, a.hi)); }
DEEPRACK_INLINE float MaxLanes(F16 a) { return MaxLanes(_mm256_max_ps(a.lo, a.hi)); }

}  // namespace deeprack::kernels::DEEPRACK_SIMD
