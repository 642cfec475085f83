// What latent attention with expanded keys and values works in: spans, and the scratch memory for one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/checked.h"
#include "kernels/cuda/hopper/needs.h"
#include "kernels/cuda/hopper/scratch_cut.h"
#include "kernels/cuda/sm90/mla_prefill.h"

namespace deeprack::kernels::hopper {

inline constexpr int64_t kExpandedSpan = 2048;  // positions, whole tiles
inline constexpr int64_t kHeadRows = sm90::kHeadKey + sm90::kHeadValue;
static_assert(kExpandedSpan % sm90::kPrefillTile == 0);

// Whether the Hopper kernels take it.
bool SuitsExpanded(const ExpandedShape& shape);

inline int64_t PrefillTilesOf(int64_t rows) { return CeilDiv(rows, sm90::kPrefillTile); }

struct ExpandedScratch {
  bf16 *kv_b, *latent, *rope, *kv;
  float *sums, *stats;
  std::byte* partials;
};

// Of spans of so many rows, of which the product has partial sums of so many bytes.
ExpandedScratch CutExpanded(const ExpandedShape& shape, int64_t partial_bytes, ScratchCut& cut);

// The most for spans of any length.
ScratchBytes ScratchOfExpansion(const ExpandedShape& shape);

}  // namespace deeprack::kernels::hopper
