// Packing of block formats (block_layout.h).
#pragma once

#include <cstdint>

#include "kernels/api/weight_packing.h"

namespace deeprack::kernels {

// As PackRows, for a source of a block format that is stored as it is.
void PackBlocks(const SourceMatrix& source, int64_t first_row, uint8_t* values);

}  // namespace deeprack::kernels
