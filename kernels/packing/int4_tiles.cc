#include "kernels/api/int4_tiles.h"

#include <cstring>

#include "base/check.h"
#include "kernels/api/weight_packing.h"

namespace deeprack::kernels {

void PackInt4Row(const BlockInt4G128* blocks, int64_t row, int64_t k, WeightLayout layout, void* tiles) {
  DR_CHECK(IsTiles(layout));
  const int64_t k_blocks = k / kScaleBlock;
  const int within = static_cast<int>(row % kInt4TileRows);
  for (int64_t b = 0; b < k_blocks; ++b) {
    uint8_t* const tile =
        static_cast<uint8_t*>(tiles) + (row / kInt4TileRows * k_blocks + b) * kInt4TileBytes;
    std::memcpy(tile + within * 4, &blocks[b].scale, 4);
    tile[kInt4ZeroOffset + within] = blocks[b].zero;
    for (int column = 0; column < kScaleBlock; ++column) {
      const uint8_t packed = blocks[b].qs[column % 64];
      const int value = column < 64 ? packed & 15 : packed >> 4;
      if (layout == WeightLayout::kTilesForE4M3) {
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

}  // namespace deeprack::kernels
