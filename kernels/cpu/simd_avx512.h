// Sixteen floats in one AVX-512 register. Needs F, BW, DQ, VL and VBMI.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/simd_fold.h"

namespace deeprack::kernels::DEEPRACK_SIMD {

// 24 accumulators, up to 4 weights and a broadcast fill the 32 registers; fp8 needs many for its expansion.
inline constexpr int kDirectRows = 12;
constexpr int DirectPanels(int rows, bool fp8) {
  if (fp8) return rows <= 2 ? 4 : rows <= 4 ? 2 : 1;
  return rows <= 6 ? 4 : rows <= 8 ? 3 : 2;
}
inline constexpr int kTileRows = 6;
inline constexpr int kTilePanels = 4;

struct F16 {
  __m512 v;
};

DEEPRACK_INLINE F16 Set1(float a) { return {_mm512_set1_ps(a)}; }
DEEPRACK_INLINE F16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
DEEPRACK_INLINE F16 Load(const bf16* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

// An e4m3 value is exact in the upper two bytes of a float. Both bytes are looked up by the value's low seven
// bits, 64 values at a time, the sign is set, and the byte pairs are dealt to the upper halves of 32-bit
// lanes.
struct Fp8Tables {
  alignas(64) uint8_t high[128];
  alignas(64) uint8_t low[128];
  alignas(64) uint8_t deal[4][64];
};

constexpr Fp8Tables MakeFp8Tables() {
  Fp8Tables tables{};
  for (int i = 0; i < 128; ++i) {
    const int exponent = i >> 3, mantissa = i & 7;
    uint32_t bits = static_cast<uint32_t>(exponent + 120) << 23 | static_cast<uint32_t>(mantissa) << 20;
    if (i == 0x7f) bits = 0x7fc00000u;
    if (exponent == 0) {  // subnormal: mantissa * 2^-9
      int top = 0;
      while (mantissa >> (top + 1)) ++top;
      bits = mantissa == 0 ? 0
                           : static_cast<uint32_t>(127 - 9 + top) << 23 |
                                 static_cast<uint32_t>(mantissa - (1 << top)) << (23 - top);
    }
    tables.high[i] = static_cast<uint8_t>(bits >> 24);
    tables.low[i] = static_cast<uint8_t>(bits >> 16);
  }
  for (int group = 0; group < 4; ++group) {
    for (int lane = 0; lane < 16;
         ++lane) {  // index bit 6 chooses the second source, which holds the high bytes
      tables.deal[group][4 * lane + 2] = static_cast<uint8_t>(16 * group + lane);
      tables.deal[group][4 * lane + 3] = static_cast<uint8_t>(64 + 16 * group + lane);
    }
  }
  return tables;
}

inline constexpr Fp8Tables kFp8Tables = MakeFp8Tables();

// The two bytes of 64 values, which are those of their bf16.
struct UpperBytes {
  __m512i low, high;
};
DEEPRACK_INLINE UpperBytes LookUp(__m512i values) {
  const Fp8Tables& t = kFp8Tables;
  const __m512i low =
      _mm512_permutex2var_epi8(_mm512_load_si512(t.low), values, _mm512_load_si512(t.low + 64));
  const __m512i high =
      _mm512_permutex2var_epi8(_mm512_load_si512(t.high), values, _mm512_load_si512(t.high + 64));
  return {low, _mm512_ternarylogic_epi32(high, values, _mm512_set1_epi8(static_cast<char>(0x80)),
                                         0xf8)};  // high | (values & 0x80)
}

DEEPRACK_INLINE void Expand4(__m512i values, F16 (&r)[4]) {
  const Fp8Tables& t = kFp8Tables;
  const auto [low, high] = LookUp(values);
  const __mmask64 upper = 0xccccccccccccccccull;
  for (int j = 0; j < 4; ++j) {
    r[j].v =
        _mm512_castsi512_ps(_mm512_maskz_permutex2var_epi8(upper, low, _mm512_load_si512(t.deal[j]), high));
  }
}
DEEPRACK_INLINE void Load4(const fp8_e4m3* p, F16 (&r)[4]) { Expand4(_mm512_loadu_si512(p), r); }
DEEPRACK_INLINE F16 Load(const fp8_e4m3* p) {
  F16 r[4];
  Expand4(_mm512_zextsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), r);
  return r[0];
}

DEEPRACK_INLINE void Store(float* p, F16 a) { _mm512_storeu_ps(p, a.v); }
DEEPRACK_INLINE void Store(bf16* p, F16 a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i upper = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  __m512i rounded =
      _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}
DEEPRACK_INLINE F16 Add(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
DEEPRACK_INLINE F16 Sub(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
DEEPRACK_INLINE F16 Mul(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
DEEPRACK_INLINE F16 Div(F16 a, F16 b) { return {_mm512_div_ps(a.v, b.v)}; }
DEEPRACK_INLINE F16 Fma(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
DEEPRACK_INLINE F16 Max(F16 a, F16 b) { return {_mm512_max_ps(a.v, b.v)}; }
DEEPRACK_INLINE F16 Min(F16 a, F16 b) { return {_mm512_min_ps(a.v, b.v)}; }
DEEPRACK_INLINE F16 ZeroWhereLess(F16 a, F16 b, F16 value) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_NLT_UQ), value.v)};
}
DEEPRACK_INLINE F16 AddToExponent(F16 a, F16 n) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(a.v), _mm512_slli_epi32(_mm512_castps_si512(n.v), 23)))};
}
DEEPRACK_INLINE void StoreTransposed(const F16 (&rows)[16], float* p) {
  __m512 a[16], b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {  // pairs of rows: 32-bit interleave
    a[2 * i] = _mm512_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    a[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4;
       ++i) {  // quads of rows: 64-bit interleave; b[4i+c] has column 4l+c of rows 4i.. in lane l
    b[4 * i] =
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a[4 * i]), _mm512_castps_pd(a[4 * i + 2])));
    b[4 * i + 1] =
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a[4 * i]), _mm512_castps_pd(a[4 * i + 2])));
    b[4 * i + 2] =
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a[4 * i + 1]), _mm512_castps_pd(a[4 * i + 3])));
    b[4 * i + 3] =
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a[4 * i + 1]), _mm512_castps_pd(a[4 * i + 3])));
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {  // the 4x4 of 128-bit lanes
    const __m512 even01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88),
                 odd01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd);
    _mm512_storeu_ps(p + (c + 0) * 16, _mm512_shuffle_f32x4(even01, even23, 0x88));
    _mm512_storeu_ps(p + (c + 4) * 16, _mm512_shuffle_f32x4(odd01, odd23, 0x88));
    _mm512_storeu_ps(p + (c + 8) * 16, _mm512_shuffle_f32x4(even01, even23, 0xdd));
    _mm512_storeu_ps(p + (c + 12) * 16, _mm512_shuffle_f32x4(odd01, odd23, 0xdd));
  }
}

DEEPRACK_INLINE float SumLanes(F16 a) {
  return SumLanes(_mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
}
DEEPRACK_INLINE float MaxLanes(F16 a) {
  return MaxLanes(_mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
