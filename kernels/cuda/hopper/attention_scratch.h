// The bytes of a plan of latent attention, and the operation's scratch memory.
#pragma once

#include <cstdint>

#include "base/checked.h"
#include "kernels/cuda/hopper/needs.h"
#include "kernels/cuda/hopper/scratch_cut.h"
#include "kernels/cuda/sm90/mla.h"

namespace deeprack::kernels::hopper {

sm90::MlaPlanBounds PlanBoundsOf(const MlaShape& shape);

// Offsets in a plan: the counts of items and merges, then room for the most items, then for the most merges.
struct PlanPlaces {
  static constexpr int64_t kItems = 16;  // offset of the items, in bytes
  explicit PlanPlaces(const sm90::MlaPlanBounds& bounds)
      : merges(RoundUp(kItems + bounds.items * static_cast<int64_t>(sizeof(sm90::MlaItem)), 16)),
        end(merges + bounds.merges * static_cast<int64_t>(sizeof(sm90::MlaMerge))) {}
  int64_t merges, end;
};

struct AttentionScratch {
  fp8_e4m3* q_latent;  // q_latent, q_rope, q_scales: for an fp8 cache only
  bf16* q_rope;
  float* q_scales;
  float *sums, *stats, *walks;
};

// `columns`: of a tile.
AttentionScratch CutAttention(const MlaShape& shape, int64_t columns, int multiprocessors, ScratchCut& cut);

}  // namespace deeprack::kernels::hopper
