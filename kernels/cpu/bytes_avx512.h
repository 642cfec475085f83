// One AVX-512 register. Needs F, BW and VNNI.
#pragma once

#include <immintrin.h>

namespace deeprack::kernels::DEEPRACK_SIMD {

// The most rows of x that share a register of weights: as many sums and dot products fill 24 registers.
inline constexpr int kBlockRows = 8;
// Rows x panels that share expanded weights.
inline constexpr int kExpandedRows = 6;
inline constexpr int kExpandedPanels = 2;

struct Bytes {
  __m512i v;
};
struct I16 {
  __m512i v;
};

DEEPRACK_INLINE Bytes LoadBytes(const void* p) { return {_mm512_loadu_si512(p)}; }
DEEPRACK_INLINE void StoreBytes(void* p, Bytes a) { _mm512_storeu_si512(p, a.v); }
// Shifts by n < 8; bits cross from a byte into its neighbour.
template <int n>
DEEPRACK_INLINE Bytes ShiftRight(Bytes a) {
  return {_mm512_srli_epi16(a.v, n)};
}
template <int n>
DEEPRACK_INLINE Bytes ShiftLeft(Bytes a) {
  return {_mm512_slli_epi16(a.v, n)};
}
template <uint8_t mask>
DEEPRACK_INLINE Bytes And(Bytes a) {
  return {_mm512_and_si512(a.v, _mm512_set1_epi8(static_cast<char>(mask)))};
}
DEEPRACK_INLINE Bytes AddBytes(Bytes a, int8_t b) { return {_mm512_add_epi8(a.v, _mm512_set1_epi8(b))}; }
// a | (b & mask)
template <uint8_t mask>
DEEPRACK_INLINE Bytes OrMasked(Bytes a, Bytes b) {
  return {_mm512_ternarylogic_epi32(a.v, b.v, _mm512_set1_epi8(static_cast<char>(mask)), 0xf8)};
}

DEEPRACK_INLINE I16 Zero() { return {_mm512_setzero_si512()}; }
DEEPRACK_INLINE I16 Set1(int32_t a) { return {_mm512_set1_epi32(a)}; }
DEEPRACK_INLINE I16 Load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
DEEPRACK_INLINE void Store(int32_t* p, I16 a) { _mm512_storeu_si512(p, a.v); }
DEEPRACK_INLINE I16 Add(I16 a, I16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
DEEPRACK_INLINE I16 Mul(I16 a, I16 b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
template <int n>
DEEPRACK_INLINE I16 ShiftLeft(I16 a) {
  return {_mm512_slli_epi32(a.v, n)};
}
DEEPRACK_INLINE F16 ToFloat(I16 a) { return {_mm512_cvtepi32_ps(a.v)}; }

// The first byte of every lane, and the lanes without it.
DEEPRACK_INLINE I16 FirstByte(Bytes a) { return {_mm512_and_si512(a.v, _mm512_set1_epi32(0xff))}; }
DEEPRACK_INLINE I16 FirstSignedByte(Bytes a) { return {_mm512_srai_epi32(_mm512_slli_epi32(a.v, 24), 24)}; }
DEEPRACK_INLINE Bytes DropByte(Bytes a) { return {_mm512_srli_epi32(a.v, 8)}; }

// sum + the lane's four unsigned bytes times the four signed ones at x, none of which is -128.
DEEPRACK_INLINE I16 Dot(I16 sum, Bytes w, const int8_t* x) {
  int32_t quad;
  __builtin_memcpy(&quad, x, sizeof(quad));
  return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_set1_epi32(quad))};
}
// The same with 128 taken from every unsigned byte, for sums that begin with StartOffset128(-128 * sum of x).
DEEPRACK_INLINE I16 DotOffset128(I16 sum, Bytes w, const int8_t* x) { return Dot(sum, w, x); }
DEEPRACK_INLINE I16 StartOffset128(int32_t correction) { return Set1(correction); }

// The sums of the lanes' four signed bytes.
DEEPRACK_INLINE I16 SumsOfQuads(Bytes a) {
  return {_mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), a.v)};
}

DEEPRACK_INLINE F16 Load(const f16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
DEEPRACK_INLINE I16 Load(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
