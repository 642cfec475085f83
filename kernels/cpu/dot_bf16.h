// Products of bf16 rows with bf16 or fp8 weights by the processor's own instruction for pairs, vdpbf16ps:
// twice the multiply-adds of an fp32 FMA. Compiled where DEEPRACK_SIMD_LEVEL is 3 (AVX512-BF16).
//
// An output is one fp32 sum over pairs of columns (k, k + 1), ascending; products of bf16 are exact in it. An
// odd last column pairs with zero. The instruction takes subnormal bf16 for zero: activations below 1.2e-38
// are. Every e4m3 value is a normal bf16, so fp8 weights lose nothing; NaN, which loading refuses, stays
// one.
#pragma once

#include "kernels/cpu/micro_kernel.h"

namespace deeprack::kernels::DEEPRACK_SIMD {

// An element of expanded pairs: lane o of a register holds W[o, k] in its lower half and W[o, k + 1] in its
// upper half.
struct PairElement {
  uint16_t bits;
};
template <>
struct TileElementOf<bf16> {
  using Type = PairElement;
};

constexpr int DotDirectPanels(int rows, bool fp8) {
  if (fp8) return rows <= 2 ? 2 : rows <= 4 ? 4 : 2;  // few streams from memory
  return rows <= 2 ? 6 : rows <= 6 ? 4 : 3;
}
inline constexpr int kDotDirectRows = 8;

// The distance, in bytes, at which fp8 weights are prefetched: a tenth faster than the processor's own
// prefetching.
inline constexpr int64_t kPrefetchAhead = 2048;

struct PairTables {
  alignas(64) uint16_t interleave[32];          // two columns of 16 words -> pairs
  alignas(64) uint16_t interleave_rows[2][32];  // two rows of 32 words -> pairs, 16 columns at a time
  // The places of the bytes of pairs of e4m3, for the first two and the last two of four columns: 64 lower
  // bytes, then 64 upper bytes.
  alignas(64) uint8_t deal[2][64];
};

constexpr PairTables MakePairTables() {
  PairTables tables{};
  for (int lane = 0; lane < 16; ++lane) {
    for (int half = 0; half < 2; ++half) {
      const int word = 2 * lane + half;
      tables.interleave[word] = static_cast<uint16_t>(16 * half + lane);
      for (int part = 0; part < 2; ++part) {
        tables.interleave_rows[part][word] = static_cast<uint16_t>(32 * half + 16 * part + lane);
        const auto byte = static_cast<uint8_t>(16 * (2 * part + half) + lane);
        tables.deal[part][2 * word] = byte;
        tables.deal[part][2 * word + 1] = byte + 64;
      }
    }
  }
  return tables;
}

inline constexpr PairTables kPairTables = MakePairTables();

// Four columns of e4m3, 16 bytes each, to two registers of pairs.
DEEPRACK_INLINE void ExpandPairs(__m512i bytes, __m512i (&pairs)[2]) {
  const auto [low, high] = LookUp(bytes);
#pragma GCC unroll 2
  for (int j = 0; j < 2; ++j)
    pairs[j] = _mm512_permutex2var_epi8(low, _mm512_load_si512(kPairTables.deal[j]), high);
}

// Columns k and k + 1 of a panel, as pairs.
DEEPRACK_INLINE __m512i LoadPair(const bf16* p) {
  return _mm512_permutexvar_epi16(_mm512_load_si512(kPairTables.interleave), _mm512_loadu_si512(p));
}
DEEPRACK_INLINE __m512i LoadPair(const fp8_e4m3* p) {
  __m512i pairs[2];
  ExpandPairs(_mm512_zextsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), pairs);
  return pairs[0];
}
DEEPRACK_INLINE __m512i LoadPair(const PairElement* p) { return _mm512_load_si512(p); }

// Column k, paired with zeros.
DEEPRACK_INLINE __m512i LoadLast(const bf16* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
DEEPRACK_INLINE __m512i LoadLast(const fp8_e4m3* p) {
  __m512i pairs[2];
  ExpandPairs(_mm512_zextsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), pairs);
  return pairs[0];
}
DEEPRACK_INLINE __m512i LoadLast(const PairElement* p) {
  return _mm512_maskz_mov_epi16(0x55555555u, LoadPair(p));
}

DEEPRACK_INLINE __m512i BroadcastPair(const bf16* x) {
  int32_t pair;
  __builtin_memcpy(&pair, x, sizeof(pair));
  return _mm512_set1_epi32(pair);
}
DEEPRACK_INLINE __m512i BroadcastLast(const bf16* x) {
  uint16_t value;
  __builtin_memcpy(&value, x, sizeof(value));
  return _mm512_set1_epi32(value);
}

DEEPRACK_INLINE F16 DotPair(__m512i x, __m512i w, F16 sum) {
  return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w))};
}

// Accumulate of micro_kernel.h for rows of bf16. If T is PairElement, w holds pairs of columns: 32
// elements for the 16 rows of a panel.
template <class T, int R, int P>
DEEPRACK_INLINE void Accumulate(const bf16* const* x, int64_t first_k, int64_t count, const T* w,
                                int64_t panel_stride, Accumulators<R, P>& result) {
  Accumulators<R, P> acc = result;
  const bf16* rows[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) rows[r] = x[r] + first_k;
  int64_t k = 0;
  if constexpr (sizeof(T) == 1) {
    for (; k + 4 <= count; k += 4) {
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const fp8_e4m3* const from = w + p * panel_stride + k * 16;
        __builtin_prefetch(from + kPrefetchAhead);
        __m512i pairs[2];
        ExpandPairs(_mm512_loadu_si512(from), pairs);
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r)
            acc.v[r][p] = DotPair(BroadcastPair(rows[r] + k + 2 * j), pairs[j], acc.v[r][p]);
        }
      }
    }
  }
  for (; k + 2 <= count; k += 2) {
    __m512i pairs[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) pairs[p] = LoadPair(w + p * panel_stride + k * 16);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512i a = BroadcastPair(rows[r] + k);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) acc.v[r][p] = DotPair(a, pairs[p], acc.v[r][p]);
    }
  }
  if (k < count) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const __m512i pair = LoadLast(w + p * panel_stride + k * 16);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc.v[r][p] = DotPair(BroadcastLast(rows[r] + k), pair, acc.v[r][p]);
    }
  }
  result = acc;
}

// The first `count` of 32 words, then zeros.
DEEPRACK_INLINE F16 LoadWords(const bf16* p, int64_t count) {
  const __mmask32 mask = count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1;
  return {_mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, p))};
}

// Interleaves 32 columns of two rows to pairs (first, second): 16 columns to `low`, 16 columns to `high`.
DEEPRACK_INLINE void StoreInterleaved(F16 first, F16 second, PairElement* low, PairElement* high) {
  const __m512i a = _mm512_castps_si512(first.v), b = _mm512_castps_si512(second.v);
  const uint16_t(&parts)[2][32] = kPairTables.interleave_rows;
  _mm512_store_si512(low, _mm512_permutex2var_epi16(a, _mm512_load_si512(parts[0]), b));
  _mm512_store_si512(high, _mm512_permutex2var_epi16(a, _mm512_load_si512(parts[1]), b));
}

// Expands `columns` columns of a panel to pairs at `to`: (columns + 1) / 2 * 32 elements, 64-byte aligned.
template <class T>
DEEPRACK_INLINE void ExpandColumns(const T* from, int64_t columns, PairElement* to) {
  int64_t k = 0;
  if constexpr (sizeof(T) == 1) {
    for (; k + 4 <= columns; k += 4) {
      __m512i pairs[2];
      ExpandPairs(_mm512_loadu_si512(from + k * 16), pairs);
      _mm512_store_si512(to + k * 16, pairs[0]);
      _mm512_store_si512(to + (k + 2) * 16, pairs[1]);
    }
  }
  for (; k + 2 <= columns; k += 2) _mm512_store_si512(to + k * 16, LoadPair(from + k * 16));
  if (k < columns) _mm512_store_si512(to + k * 16, LoadLast(from + k * 16));
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
