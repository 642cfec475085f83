// Packing of block formats (block_layout.h).
#pragma once

#include <cstdint>

#include "kernels/api/weight_packing.h"

namespace deeprack::kernels {

// PackRows (kernels/api/weight_packing.h) for a source in a block format that keeps its format.
void PackBlocks(const SourceMatrix& source, int64_t first_row, uint8_t* values);

}  // namespace deeprack::kernels
