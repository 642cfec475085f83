#include "kernels/cpu/pack_blocks.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/block_layout.h"

namespace deeprack::kernels {
namespace {

// The parts of a block: unsigned values in the order of columns, and the scales and minima as stored.
struct Parts {
  alignas(64) uint8_t q[256];
  uint8_t scale[16], min[16];
  f16 d, m;
  float scale_f32;
  uint8_t zero;
};

void TakeNibbles(const uint8_t* qs, int count, uint8_t* q) {
  for (int i = 0; i < count; ++i) {
    q[i] = qs[i] & 15;
    q[count + i] = qs[i] >> 4;
  }
}
void AddFifthBits(const uint8_t* qh, uint8_t* q) {
  for (int i = 0; i < 32; ++i) q[i] |= static_cast<uint8_t>((qh[i / 8] >> (i % 8) & 1) << 4);
}
template <class Block>
void TakeScalesAndMinima(const Block& block, Parts& parts) {
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMin both = GroupScaleAndMin(block.scales, group);
    parts.scale[group] = both.scale;
    parts.min[group] = both.min;
  }
}
// Signed bytes, each plus 128.
void TakeBytes(const int8_t* qs, int count, uint8_t* q) {
  for (int i = 0; i < count; ++i) q[i] = static_cast<uint8_t>(qs[i] ^ 0x80);
}

// base/block_formats.cc defines the order of a block's bits.
void TakeApart(const BlockQ4_0& block, Parts& parts) {
  TakeNibbles(block.qs, 16, parts.q);
  parts.d = block.d;
}
void TakeApart(const BlockQ4_1& block, Parts& parts) {
  TakeNibbles(block.qs, 16, parts.q);
  parts.d = block.d;
  parts.m = block.m;
}
void TakeApart(const BlockQ5_0& block, Parts& parts) {
  TakeNibbles(block.qs, 16, parts.q);
  AddFifthBits(block.qh, parts.q);
  parts.d = block.d;
}
void TakeApart(const BlockQ5_1& block, Parts& parts) {
  TakeNibbles(block.qs, 16, parts.q);
  AddFifthBits(block.qh, parts.q);
  parts.d = block.d;
  parts.m = block.m;
}
void TakeApart(const BlockQ8_0& block, Parts& parts) {
  TakeBytes(block.qs, 32, parts.q);
  parts.d = block.d;
}
void TakeApart(const BlockQ2K& block, Parts& parts) {
  for (int half = 0; half < 2; ++half) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      uint8_t* q = parts.q + half * 128 + quarter * 32;
      for (int i = 0; i < 32; ++i) q[i] = block.qs[half * 32 + i] >> (2 * quarter) & 3;
    }
  }
  for (int group = 0; group < 16; ++group) parts.scale[group] = block.scales[group];
  parts.d = block.d;
  parts.m = block.dmin;
}
void TakeApart(const BlockQ3K& block, Parts& parts) {
  for (int eighth = 0; eighth < 8; ++eighth) {
    const uint8_t* qs = block.qs + eighth / 4 * 32;
    const int shift = eighth % 4 * 2;
    for (int i = 0; i < 32; ++i) {
      parts.q[eighth * 32 + i] =
          static_cast<uint8_t>((qs[i] >> shift & 3) | (block.hmask[i] >> eighth & 1) << 2);
    }
  }
  for (int group = 0; group < 16; ++group)
    parts.scale[group] = static_cast<uint8_t>(GroupScale(block, group) + 32);
  parts.d = block.d;
}
void TakeApart(const BlockQ4K& block, Parts& parts) {
  for (int quarter = 0; quarter < 4; ++quarter)
    TakeNibbles(block.qs + quarter * 32, 32, parts.q + quarter * 64);
  TakeScalesAndMinima(block, parts);
  parts.d = block.d;
  parts.m = block.dmin;
}
void TakeApart(const BlockQ5K& block, Parts& parts) {
  for (int quarter = 0; quarter < 4; ++quarter)
    TakeNibbles(block.qs + quarter * 32, 32, parts.q + quarter * 64);
  for (int eighth = 0; eighth < 8; ++eighth) {
    for (int i = 0; i < 32; ++i)
      parts.q[eighth * 32 + i] |= static_cast<uint8_t>((block.qh[i] >> eighth & 1) << 4);
  }
  TakeScalesAndMinima(block, parts);
  parts.d = block.d;
  parts.m = block.dmin;
}
void TakeApart(const BlockQ6K& block, Parts& parts) {
  for (int half = 0; half < 2; ++half) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      const uint8_t* ql = block.ql + half * 64 + quarter % 2 * 32;
      const uint8_t* qh = block.qh + half * 32;
      uint8_t* q = parts.q + half * 128 + quarter * 32;
      for (int i = 0; i < 32; ++i)
        q[i] = static_cast<uint8_t>((ql[i] >> quarter / 2 * 4 & 15) | (qh[i] >> quarter * 2 & 3) << 4);
    }
  }
  std::memcpy(parts.scale, block.scales, 16);
  parts.d = block.d;
}
void TakeApart(const BlockInt4G128& block, Parts& parts) {
  TakeNibbles(block.qs, 64, parts.q);
  parts.scale_f32 = block.scale;
  parts.zero = block.zero;
}
void TakeApart(const BlockInt8G128& block, Parts& parts) {
  TakeBytes(block.qs, 128, parts.q);
  parts.scale_f32 = block.scale;
}

uint32_t LoadQuad(const uint8_t* p) {
  uint32_t quad;
  std::memcpy(&quad, p, sizeof(quad));
  return quad;
}
void StoreLane(uint8_t* reg, int row, uint32_t quad) { std::memcpy(reg + row * 4, &quad, sizeof(quad)); }

// Bits [shift, shift + bits) of every value.
void PutPlane(const Parts* rows, int64_t elements, int bits, int shift, uint8_t* out) {
  const int quads = 8 / bits;
  const uint32_t mask = 0x01010101u * ((1u << bits) - 1);
  for (int64_t reg = 0; reg < elements / (4 * quads); ++reg) {
    for (int r = 0; r < kPanelRows; ++r) {
      uint32_t lane = 0;
      for (int i = 0; i < quads; ++i)
        lane |= (LoadQuad(rows[r].q + (reg * quads + i) * 4) >> shift & mask) << (i * bits);
      StoreLane(out + reg * 64, r, lane);
    }
  }
}

void PutBytes(const Parts* rows, uint8_t* out) {
  for (int quad = 0; quad < 4; ++quad) {
    for (int r = 0; r < kPanelRows; ++r) StoreLane(out + quad * 64, r, LoadQuad(rows[r].scale + quad * 4));
  }
}

void PutSixBits(const Parts* rows, bool minima, uint8_t* out) {
  for (int r = 0; r < kPanelRows; ++r) {
    const uint8_t* second = minima ? rows[r].min : rows[r].scale + 8;
    const uint32_t last = LoadQuad(second + 4);
    const uint32_t quads[3] = {LoadQuad(rows[r].scale), LoadQuad(rows[r].scale + 4), LoadQuad(second)};
    for (int i = 0; i < 3; ++i) StoreLane(out + i * 64, r, quads[i] | (last >> (2 * i) & 0x03030303u) << 6);
  }
}

template <class T>
void PutValues(const Parts* rows, T Parts::*value, uint8_t* out) {
  for (int r = 0; r < kPanelRows; ++r) std::memcpy(out + r * sizeof(T), &(rows[r].*value), sizeof(T));
}

void PutTogether(DType type, const Parts* rows, uint8_t* out) {
  const BlockLayout layout = LayoutOf(type);
  const int64_t elements = BlockElements(type);
  PutPlane(rows, elements, layout.low_bits, 0, out);
  if (layout.high_bits != 0) PutPlane(rows, elements, layout.high_bits, layout.low_bits, out + layout.high);
  if (type == DType::kQ2K || type == DType::kQ6K) PutBytes(rows, out + layout.scales);
  if (type == DType::kQ4K || type == DType::kQ5K) PutSixBits(rows, /*minima=*/true, out + layout.scales);
  if (type == DType::kQ3K) PutSixBits(rows, /*minima=*/false, out + layout.scales);
  if (type == DType::kInt4G128 || type == DType::kInt8G128) {
    PutValues(rows, &Parts::scale_f32, out + layout.d);
    if (type == DType::kInt4G128) PutValues(rows, &Parts::zero, out + layout.m);
    return;
  }
  PutValues(rows, &Parts::d, out + layout.d);
  if (layout.m != 0) PutValues(rows, &Parts::m, out + layout.m);
}

template <class Block>
void Pack(const SourceMatrix& source, int64_t first_row, uint8_t* values) {
  const int64_t blocks = source.cols / BlockElements(source.type);
  const int64_t row_bytes = BytesOf(source.type, source.row_stride);
  const auto* data = static_cast<const std::byte*>(source.data);
  Parts parts[kPanelRows];
  for (int64_t row = 0; row < source.rows; row += kPanelRows) {
    uint8_t* panel = values + (first_row + row) / kPanelRows * blocks * PackedBlockBytes(source.type);
    const int64_t rows = std::min(kPanelRows, source.rows - row);
    // Rows past the last are blocks of zero bits: every scale is zero, and so every value.
    std::memset(static_cast<void*>(parts), 0, sizeof(parts));
    for (int64_t b = 0; b < blocks; ++b) {
      for (int64_t r = 0; r < rows; ++r) {
        Block block;
        std::memcpy(&block, data + (row + r) * row_bytes + b * int64_t{sizeof(Block)}, sizeof(Block));
        TakeApart(block, parts[r]);
      }
      PutTogether(source.type, parts, panel + b * PackedBlockBytes(source.type));
    }
  }
}

}  // namespace

void PackBlocks(const SourceMatrix& source, int64_t first_row, uint8_t* values) {
  DR_CHECK(source.cols % BlockElements(source.type) == 0 &&
           source.row_stride % BlockElements(source.type) == 0);
  switch (source.type) {
    case DType::kQ4_0:
      return Pack<BlockQ4_0>(source, first_row, values);
    case DType::kQ4_1:
      return Pack<BlockQ4_1>(source, first_row, values);
    case DType::kQ5_0:
      return Pack<BlockQ5_0>(source, first_row, values);
    case DType::kQ5_1:
      return Pack<BlockQ5_1>(source, first_row, values);
    case DType::kQ8_0:
      return Pack<BlockQ8_0>(source, first_row, values);
    case DType::kQ2K:
      return Pack<BlockQ2K>(source, first_row, values);
    case DType::kQ3K:
      return Pack<BlockQ3K>(source, first_row, values);
    case DType::kQ4K:
      return Pack<BlockQ4K>(source, first_row, values);
    case DType::kQ5K:
      return Pack<BlockQ5K>(source, first_row, values);
    case DType::kQ6K:
      return Pack<BlockQ6K>(source, first_row, values);
    case DType::kInt4G128:
      return Pack<BlockInt4G128>(source, first_row, values);
    case DType::kInt8G128:
      return Pack<BlockInt8G128>(source, first_row, values);
    default:
      DR_CHECK(IsBlockFormat(source.type));
  }
}

}  // namespace deeprack::kernels
