// Without vector instructions. Every function is what its namesakes for AVX2 and AVX-512 do.
#pragma once

namespace deeprack::kernels::DEEPRACK_SIMD {

// The most rows of x that share a register of weights. One: there is no register of 16 lanes here, and code for two rows takes
// the compiler several times as long.
inline constexpr int kBlockRows = 1;
inline constexpr int kExpandedRows = 1;
inline constexpr int kExpandedPanels = 1;

struct Bytes {
  uint32_t v[16];  // the first byte is the lowest
};
struct I16 {
  int32_t v[16];
};

// A loop that is not unrolled: 16 copies of each body would take the compiler several times as long.
#define DEEPRACK_LANES _Pragma("GCC unroll 1") for (int i = 0; i < 16; ++i)

DEEPRACK_INLINE Bytes LoadBytes(const void* p) {
  Bytes r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}
DEEPRACK_INLINE void StoreBytes(void* p, Bytes a) { __builtin_memcpy(p, &a, sizeof(a)); }
// Shifts by n < 8; bits cross from a byte into its neighbour.
template <int n>
DEEPRACK_INLINE Bytes ShiftRight(Bytes a) {
  DEEPRACK_LANES a.v[i] >>= n;
  return a;
}
template <int n>
DEEPRACK_INLINE Bytes ShiftLeft(Bytes a) {
  DEEPRACK_LANES a.v[i] <<= n;
  return a;
}
template <uint8_t mask>
DEEPRACK_INLINE Bytes And(Bytes a) {
  DEEPRACK_LANES a.v[i] &= mask * 0x01010101u;
  return a;
}
DEEPRACK_INLINE Bytes AddBytes(Bytes a, int8_t b) {
  for (int shift = 0; shift < 32; shift += 8) {
    DEEPRACK_LANES {
      const uint32_t byte = (a.v[i] >> shift) + static_cast<uint32_t>(b);
      a.v[i] = (a.v[i] & ~(0xffu << shift)) | (byte & 0xff) << shift;
    }
  }
  return a;
}
// a | (b & mask)
template <uint8_t mask>
DEEPRACK_INLINE Bytes OrMasked(Bytes a, Bytes b) {
  DEEPRACK_LANES a.v[i] |= b.v[i] & (mask * 0x01010101u);
  return a;
}

DEEPRACK_INLINE I16 Set1(int32_t a) {
  I16 r;
  DEEPRACK_LANES r.v[i] = a;
  return r;
}
DEEPRACK_INLINE I16 Zero() { return Set1(int32_t{0}); }
DEEPRACK_INLINE I16 Load(const int32_t* p) {
  I16 r;
  DEEPRACK_LANES r.v[i] = p[i];
  return r;
}
DEEPRACK_INLINE void Store(int32_t* p, I16 a) { DEEPRACK_LANES p[i] = a.v[i]; }
DEEPRACK_INLINE I16 Add(I16 a, I16 b) {
  DEEPRACK_LANES a.v[i] += b.v[i];
  return a;
}
DEEPRACK_INLINE I16 Mul(I16 a, I16 b) {
  DEEPRACK_LANES a.v[i] *= b.v[i];
  return a;
}
template <int n>
DEEPRACK_INLINE I16 ShiftLeft(I16 a) {
  DEEPRACK_LANES a.v[i] *= 1 << n;
  return a;
}
DEEPRACK_INLINE F16 ToFloat(I16 a) {
  F16 r;
  DEEPRACK_LANES r.v[i] = static_cast<float>(a.v[i]);
  return r;
}

// The first byte of every lane, and the lanes without it.
DEEPRACK_INLINE I16 FirstByte(Bytes a) {
  I16 r;
  DEEPRACK_LANES r.v[i] = static_cast<int32_t>(a.v[i] & 0xff);
  return r;
}
DEEPRACK_INLINE I16 FirstSignedByte(Bytes a) {
  I16 r;
  DEEPRACK_LANES r.v[i] = static_cast<int8_t>(a.v[i] & 0xff);
  return r;
}
DEEPRACK_INLINE Bytes DropByte(Bytes a) {
  DEEPRACK_LANES a.v[i] >>= 8;
  return a;
}

// sum + the lane's four unsigned bytes times the four signed ones at x, none of which is -128.
DEEPRACK_INLINE I16 Dot(I16 sum, Bytes w, const int8_t* x) {
  for (int b = 0; b < 4; ++b) {
    DEEPRACK_LANES sum.v[i] += static_cast<int32_t>(w.v[i] >> (8 * b) & 0xff) * x[b];
  }
  return sum;
}
// The same with 128 taken from every unsigned byte, for sums that begin with StartOffset128(-128 * sum of x).
DEEPRACK_INLINE I16 DotOffset128(I16 sum, Bytes w, const int8_t* x) { return Dot(sum, w, x); }
DEEPRACK_INLINE I16 StartOffset128(int32_t correction) { return Set1(correction); }

// The sums of the lanes' four signed bytes.
DEEPRACK_INLINE I16 SumsOfQuads(Bytes a) {
  I16 sums = Zero();
  for (int b = 0; b < 4; ++b) {
    DEEPRACK_LANES sums.v[i] += static_cast<int8_t>(a.v[i] >> (8 * b) & 0xff);
  }
  return sums;
}

DEEPRACK_INLINE F16 Load(const f16* p) {
  F16 r;
  DEEPRACK_LANES {
    const uint32_t sign = uint32_t{p[i].bits & 0x8000u} << 16;
    const uint32_t magnitude = p[i].bits & 0x7fffu;
    // The bits moved into a float's place are the value times 2^-112, subnormals included.
    const float value = BitsToFloat(magnitude << 13) * 0x1p112f;
    r.v[i] = BitsToFloat(sign | (magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : FloatToBits(value)));
  }
  return r;
}
DEEPRACK_INLINE I16 Load(const uint8_t* p) {
  I16 r;
  DEEPRACK_LANES r.v[i] = p[i];
  return r;
}
#undef DEEPRACK_LANES

}  // namespace deeprack::kernels::DEEPRACK_SIMD
