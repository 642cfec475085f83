// The spans of latent attention with expanded keys and values, and the scratch memory for one span.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/checked.h"
#include "kernels/cuda/hopper/needs.h"
#include "kernels/cuda/hopper/scratch_cut.h"
#include "kernels/cuda/sm90/mla_prefill.h"

namespace deeprack::kernels::hopper {

inline constexpr int64_t kExpandedSpan = 2048;  // positions of a span; a multiple of the tile
inline constexpr int64_t kHeadRows = sm90::kHeadKey + sm90::kHeadValue;
static_assert(kExpandedSpan % sm90::kPrefillTile == 0);

// True when the Hopper kernels serve the shape.
bool SuitsExpanded(const ExpandedShape& shape);

inline int64_t PrefillTilesOf(int64_t rows) { return CeilDiv(rows, sm90::kPrefillTile); }

struct ExpandedScratch {
  bf16 *kv_b, *latent, *rope, *kv;
  float *sums, *stats;
  std::byte* partials;
};

// `partial_bytes`: of the product's partial sums.
ExpandedScratch CutExpanded(const ExpandedShape& shape, int64_t partial_bytes, ScratchCut& cut);

// The largest scratch for spans of any length.
ScratchBytes ScratchOfExpansion(const ExpandedShape& shape);

}  // namespace deeprack::kernels::hopper
