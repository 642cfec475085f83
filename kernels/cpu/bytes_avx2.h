// Two AVX registers. Needs AVX2 and F16C.
#pragma once

#include <immintrin.h>

namespace deeprack::kernels::DEEPRACK_SIMD {

// Two rows' sums and dot products fill 8 of 16 registers.
inline constexpr int kBlockRows = 2;
inline constexpr int kExpandedRows = 2;
inline constexpr int kExpandedPanels = 1;

struct Bytes {
  __m256i lo, hi;
};
struct I16 {
  __m256i lo, hi;
};

DEEPRACK_INLINE Bytes LoadBytes(const void* p) {
  const __m256i* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
DEEPRACK_INLINE void StoreBytes(void* p, Bytes a) {
  __m256i* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.lo);
  _mm256_storeu_si256(q + 1, a.hi);
}
// Shifts by n < 8; bits cross from a byte into its neighbour.
template <int n>
DEEPRACK_INLINE Bytes ShiftRight(Bytes a) {
  return {_mm256_srli_epi16(a.lo, n), _mm256_srli_epi16(a.hi, n)};
}
template <int n>
DEEPRACK_INLINE Bytes ShiftLeft(Bytes a) {
  return {_mm256_slli_epi16(a.lo, n), _mm256_slli_epi16(a.hi, n)};
}
template <uint8_t mask>
DEEPRACK_INLINE Bytes And(Bytes a) {
  const __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
  return {_mm256_and_si256(a.lo, m), _mm256_and_si256(a.hi, m)};
}
DEEPRACK_INLINE Bytes AddBytes(Bytes a, int8_t b) {
  return {_mm256_add_epi8(a.lo, _mm256_set1_epi8(b)), _mm256_add_epi8(a.hi, _mm256_set1_epi8(b))};
}
// a | (b & mask)
template <uint8_t mask>
DEEPRACK_INLINE Bytes OrMasked(Bytes a, Bytes b) {
  const Bytes masked = And<mask>(b);
  return {_mm256_or_si256(a.lo, masked.lo), _mm256_or_si256(a.hi, masked.hi)};
}

DEEPRACK_INLINE I16 Zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
DEEPRACK_INLINE I16 Set1(int32_t a) { return {_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }
DEEPRACK_INLINE I16 Load(const int32_t* p) {
  const __m256i* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
DEEPRACK_INLINE void Store(int32_t* p, I16 a) {
  __m256i* q = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.lo);
  _mm256_storeu_si256(q + 1, a.hi);
}
DEEPRACK_INLINE I16 Add(I16 a, I16 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
DEEPRACK_INLINE I16 Mul(I16 a, I16 b) {
  return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
}
template <int n>
DEEPRACK_INLINE I16 ShiftLeft(I16 a) {
  return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}
DEEPRACK_INLINE F16 ToFloat(I16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }

// The first byte of every lane, and the lanes without it.
DEEPRACK_INLINE I16 FirstByte(Bytes a) {
  const __m256i m = _mm256_set1_epi32(0xff);
  return {_mm256_and_si256(a.lo, m), _mm256_and_si256(a.hi, m)};
}
DEEPRACK_INLINE I16 FirstSignedByte(Bytes a) {
  return {_mm256_srai_epi32(_mm256_slli_epi32(a.lo, 24), 24),
          _mm256_srai_epi32(_mm256_slli_epi32(a.hi, 24), 24)};
}
DEEPRACK_INLINE Bytes DropByte(Bytes a) { return {_mm256_srli_epi32(a.lo, 8), _mm256_srli_epi32(a.hi, 8)}; }

DEEPRACK_INLINE __m256i BroadcastQuad(const int8_t* x) {
  int32_t quad;
  __builtin_memcpy(&quad, x, sizeof(quad));
  return _mm256_set1_epi32(quad);
}
DEEPRACK_INLINE __m256i AddPairs(__m256i sum, __m256i pairs) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// sum + the lane's four unsigned bytes times the four signed ones at x, none of which is -128. Sums of two
// products are 16 bits wide and saturate, so the unsigned bytes must be below 128 (2 * 127 * 127 < 2^15).
DEEPRACK_INLINE I16 Dot(I16 sum, Bytes w, const int8_t* x) {
  const __m256i quad = BroadcastQuad(x);
  return {AddPairs(sum.lo, _mm256_maddubs_epi16(w.lo, quad)),
          AddPairs(sum.hi, _mm256_maddubs_epi16(w.hi, quad))};
}
// The same with 128 taken from every unsigned byte, of any value: their magnitudes, up to 128, times x with
// their signs (2 * 128 * 127 < 2^15).
DEEPRACK_INLINE __m256i AddSigned(__m256i sum, __m256i w, __m256i quad) {
  const __m256i value = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
  return AddPairs(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(value), _mm256_sign_epi8(quad, value)));
}
DEEPRACK_INLINE I16 DotOffset128(I16 sum, Bytes w, const int8_t* x) {
  const __m256i quad = BroadcastQuad(x);
  return {AddSigned(sum.lo, w.lo, quad), AddSigned(sum.hi, w.hi, quad)};
}
DEEPRACK_INLINE I16 StartOffset128(int32_t) { return Zero(); }

// The sums of the lanes' four signed bytes.
DEEPRACK_INLINE I16 SumsOfQuads(Bytes a) {
  const __m256i ones = _mm256_set1_epi8(1), zero = _mm256_setzero_si256();
  return {AddPairs(zero, _mm256_maddubs_epi16(ones, a.lo)), AddPairs(zero, _mm256_maddubs_epi16(ones, a.hi))};
}

DEEPRACK_INLINE F16 Load(const f16* p) {
  const __m128i* q = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
DEEPRACK_INLINE I16 Load(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
