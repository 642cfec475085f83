// Sixteen floats without vector instructions. Every function gives the same bits as the functions of the same
// name for AVX2 and AVX-512.
#pragma once

namespace deeprack::kernels::DEEPRACK_SIMD {

// The most rows of x that a matrix product multiplies with weights directly from memory, and the number of
// panels at once.
inline constexpr int kDirectRows = 2;
constexpr int DirectPanels(int rows, bool fp8) { return 1; }
// Rows and panels of accumulators for a tile of weights that was expanded to float.
inline constexpr int kTileRows = 4;
inline constexpr int kTilePanels = 1;

struct F16 {
  float v[16];
};

// A loop that is not unrolled: 16 copies of each body would take the compiler several times as long.
#define DEEPRACK_LANES _Pragma("GCC unroll 1") for (int i = 0; i < 16; ++i)

DEEPRACK_INLINE F16 Set1(float a) {
  F16 r;
  DEEPRACK_LANES r.v[i] = a;
  return r;
}
DEEPRACK_INLINE F16 Load(const float* p) {
  F16 r;
  DEEPRACK_LANES r.v[i] = p[i];
  return r;
}
DEEPRACK_INLINE F16 Load(const bf16* p) {
  F16 r;
  DEEPRACK_LANES r.v[i] = BitsToFloat(uint32_t{p[i].bits} << 16);
  return r;
}
DEEPRACK_INLINE F16 Load(const fp8_e4m3* p) {
  F16 r;
  DEEPRACK_LANES {
    const uint32_t magnitude = p[i].bits & 0x7fu;
    const uint32_t sign = uint32_t{p[i].bits & 0x80u} << 24;
    // The bits moved into a float's place are the value times 2^-120, subnormals included.
    const float value = BitsToFloat(magnitude << 20) * 0x1p120f;
    r.v[i] = BitsToFloat(sign | (magnitude == 0x7f ? 0x7fc00000u : FloatToBits(value)));
  }
  return r;
}
DEEPRACK_INLINE void Load4(const fp8_e4m3* p, F16 (&r)[4]) {
  for (int j = 0; j < 4; ++j) r[j] = Load(p + 16 * j);
}
DEEPRACK_INLINE void Store(float* p, F16 a) { DEEPRACK_LANES p[i] = a.v[i]; }
DEEPRACK_INLINE void Store(bf16* p, F16 a) {
  DEEPRACK_LANES {
    const uint32_t bits = FloatToBits(a.v[i]);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    p[i].bits =
        static_cast<uint16_t>(nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}
DEEPRACK_INLINE F16 Add(F16 a, F16 b) {
  DEEPRACK_LANES a.v[i] += b.v[i];
  return a;
}
DEEPRACK_INLINE F16 Sub(F16 a, F16 b) {
  DEEPRACK_LANES a.v[i] -= b.v[i];
  return a;
}
DEEPRACK_INLINE F16 Mul(F16 a, F16 b) {
  DEEPRACK_LANES a.v[i] *= b.v[i];
  return a;
}
DEEPRACK_INLINE F16 Div(F16 a, F16 b) {
  DEEPRACK_LANES a.v[i] /= b.v[i];
  return a;
}
// a * b + c, rounded once.
DEEPRACK_INLINE F16 Fma(F16 a, F16 b, F16 c) {
  DEEPRACK_LANES c.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
  return c;
}
// a > b ? a : b, so b when either is NaN.
DEEPRACK_INLINE F16 Max(F16 a, F16 b) {
  DEEPRACK_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
DEEPRACK_INLINE F16 Min(F16 a, F16 b) {
  DEEPRACK_LANES a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
// a < b ? 0 : value.
DEEPRACK_INLINE F16 ZeroWhereLess(F16 a, F16 b, F16 value) {
  DEEPRACK_LANES value.v[i] = a.v[i] < b.v[i] ? 0.0f : value.v[i];
  return value;
}
// Adds the low bits of `n` to the exponent of `a`: a * 2^n for an n made by adding 1.5 * 2^23 to an integer.
DEEPRACK_INLINE F16 AddToExponent(F16 a, F16 n) {
  DEEPRACK_LANES a.v[i] = BitsToFloat(FloatToBits(a.v[i]) + (FloatToBits(n.v[i]) << 23));
  return a;
}
// Writes the transpose of 16 vectors, vectors p + i * 16.
DEEPRACK_INLINE void StoreTransposed(const F16 (&rows)[16], float* p) {
  for (int j = 0; j < 16; ++j) {
    DEEPRACK_LANES p[i * 16 + j] = rows[j].v[i];
  }
}
#undef DEEPRACK_LANES

DEEPRACK_INLINE float SumLanes(F16 a) {
  float v[16];
  Store(v, a);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) v[i] += v[i + width];
  }
  return v[0];
}
DEEPRACK_INLINE float MaxLanes(F16 a) {
  float v[16];
  Store(v, a);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) v[i] = v[i] > v[i + width] ? v[i] : v[i + width];
  }
  return v[0];
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
