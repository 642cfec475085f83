// Where sm_90a's matrix instructions find and leave their elements: pure arithmetic, tested on the host.
// Sources: PTX ISA 8.x and 9.0, "Asynchronous warpgroup-level matrix instructions" (matrix descriptor,
// register fragments) and "Tensor swizzling modes".
#pragma once

#include <cstdint>

namespace deeprack::kernels::sm90 {

inline constexpr int kWarp = 32;
inline constexpr int kWarpgroup = 128;
inline constexpr int kSwizzleBytes = 128;  // a row of a swizzled tile
// 8 rows of kSwizzleBytes: the pattern's period, and the alignment that tiles need.
inline constexpr int kSwizzleAtom = 1024;
inline constexpr uint32_t kSharedBytes = 232448;  // the most dynamic shared memory that a block may have

// 128-byte swizzle: within 1024 bytes, the 16-byte chunk c of row r (128 bytes each) lies at chunk c ^ r. In
// bits of the address: bits 4..6 are flipped by bits 7..9. The hardware applies it to shared addresses, so
// tiles begin at multiples of 1024.
constexpr uint32_t Swizzle128(uint32_t address) { return address ^ ((address >> 3) & 0x70u); }

// Shared-memory matrix descriptor, 64 bits:
//   0..13  start address / 16          16..29 leading byte offset / 16      32..45 stride byte offset / 16
//   49..51 base offset (0: the pattern begins at a multiple of 1024)        62..63 swizzle (1: 128 bytes)
// K-major operand (rows of 128 bytes of K, swizzled): stride = bytes from 8 rows to the next 8; leading is
// not used. A step of 32 bytes along K adds 32 to the start address. MN-major operand (rows of 64 bf16 along
// M or N, one row for each k): leading = bytes from 64 elements of M or N to the next 64, stride = bytes from
// 8 k to the next 8.
constexpr uint64_t MatrixDescriptor(uint32_t start, uint32_t leading_bytes, uint32_t stride_bytes) {
  return uint64_t{(start & 0x3ffffu) >> 4} | uint64_t{(leading_bytes & 0x3ffffu) >> 4} << 16 |
         uint64_t{(stride_bytes & 0x3ffffu) >> 4} << 32 | uint64_t{1} << 62;
}
constexpr uint64_t KMajor(uint32_t start) { return MatrixDescriptor(start, 16, kSwizzleAtom); }
constexpr uint64_t MnMajor(uint32_t start, uint32_t panel_bytes) {
  return MatrixDescriptor(start, panel_bytes, kSwizzleAtom);
}
// The descriptor `bytes` (a multiple of 16) further on: no field overflows while the address stays in shared
// memory.
constexpr uint64_t Advance(uint64_t descriptor, uint32_t bytes) { return descriptor + (bytes >> 4); }

// The fields of a descriptor. For the host's emulation and for tests.
struct DescriptorFields {
  uint32_t start, leading, stride, base_offset, swizzle;
};
constexpr DescriptorFields Decode(uint64_t descriptor) {
  const auto field = [&](int shift, int bits) {
    return static_cast<uint32_t>((descriptor >> shift) & ((uint64_t{1} << bits) - 1));
  };
  return {field(0, 14) << 4, field(16, 14) << 4, field(32, 14) << 4, field(49, 3), field(62, 2)};
}

// Byte address of element (mn, k) of an operand, before swizzling.
constexpr uint32_t OperandOffset(const DescriptorFields& d, bool mn_major, int element_bytes, int mn, int k) {
  if (mn_major) {  // 2-byte elements only
    return d.start + static_cast<uint32_t>(mn / 64) * d.leading + static_cast<uint32_t>(k / 8) * d.stride +
           static_cast<uint32_t>(k % 8 * kSwizzleBytes + mn % 64 * element_bytes);
  }
  return d.start + static_cast<uint32_t>(mn / 8) * d.stride +
         static_cast<uint32_t>(mn % 8 * kSwizzleBytes + k * element_bytes);
}

// Accumulator of m64nN, fp32: thread t of the warpgroup holds N / 2 values; value i is element (row, column).
constexpr int AccumulatorRow(int thread, int i) {
  return thread / kWarp * 16 + thread % kWarp / 4 + i / 2 % 2 * 8;
}
constexpr int AccumulatorColumn(int thread, int i) { return i / 4 * 8 + thread % 4 * 2 + i % 2; }

// A operand in registers, m64k16 of 2-byte elements: register j (0..3) of thread t holds columns (column,
// column + 1) of the row.
constexpr int FragmentRow(int thread, int j) { return thread / kWarp * 16 + thread % kWarp / 4 + j % 2 * 8; }
constexpr int FragmentColumn(int thread, int j) { return thread % 4 * 2 + j / 2 * 8; }

// The same for 1-byte elements, m64k32: register j holds four columns, from this one on.
constexpr int ByteFragmentColumn(int thread, int j) { return thread % 4 * 4 + j / 2 * 16; }

// Moved as one word of 8 or 16 bytes.
struct alignas(8) Floats2 {
  float f[2];
};
struct alignas(16) Floats4 {
  float f[4];
};
struct alignas(8) Words2 {
  uint32_t w[2];
};
struct alignas(16) Words4 {
  uint32_t w[4];
};

}  // namespace deeprack::kernels::sm90
