#include "kernels/cuda/sm90/int4_weight.h"

#include <cstring>

namespace deeprack::kernels::sm90 {

void PackInt4Row(const BlockInt4G128* blocks, int64_t row, int64_t k, void* tiles, Int4Order order) {
  const int64_t k_blocks = k / kScaleBlock;
  const int within = static_cast<int>(row % kTileRows);
  for (int64_t b = 0; b < k_blocks; ++b) {
    uint8_t* const tile = static_cast<uint8_t*>(tiles) + (row / kTileRows * k_blocks + b) * kInt4TileBytes;
    std::memcpy(tile + within * 4, &blocks[b].scale, 4);
    tile[kInt4ZeroOffset + within] = blocks[b].zero;
    for (int column = 0; column < kScaleBlock; ++column) {
      const uint8_t packed = blocks[b].qs[column % 64];
      const int value = column < 64 ? packed & 15 : packed >> 4;
      if (order == Int4Order::kForE4M3) {
        const Int4Place place = PlaceInt4(within, column);
        uint8_t& at = tile[kInt4ValueOffset + place.byte];
        at = static_cast<uint8_t>((at & ~Int4ByteMask(place.second)) | Int4Byte(value, place.second));
        continue;
      }
      const int64_t nibble = Int4Nibble(within, column);
      uint8_t& at = tile[kInt4ValueOffset + nibble / 2];
      at = static_cast<uint8_t>(nibble % 2 == 0 ? (at & 0xf0) | value : (at & 0x0f) | value << 4);
    }
  }
}

}  // namespace deeprack::kernels::sm90
