// Finds the integers and factors of a K-quant block of 256 values. base/quantize/block_quantize.h packs them
// into bits.
#pragma once

#include <cstdint>

#include "base/block_formats.h"
#include "base/quantize/scale_fit.h"

namespace deeprack {

inline constexpr int kSuperBlock = 256;
inline constexpr int kMaxGroups = 16;

// value i = d * scales[g] * levels[i] - dmin * mins[g], with g = i / group_size.
struct BlockFit {
  f16 d, dmin;
  int scales[kMaxGroups] = {};
  int mins[kMaxGroups] = {};
  int levels[kSuperBlock] = {};
};

struct BlockShape {
  int group_size = 0;  // 16 or 32
  LevelRange levels;
  LevelRange scales;
  int highest_min = 0;  // 0: the format has no minima
};

// `values` [256] must be finite.
BlockFit FitBlock(const float* values, const BlockShape& shape);

}  // namespace deeprack
