// Latent attention's plan as one run of bytes, and its scratch memory.
#pragma once

#include <cstdint>

#include "base/checked.h"
#include "kernels/cuda/hopper/needs.h"
#include "kernels/cuda/hopper/scratch_cut.h"
#include "kernels/cuda/sm90/mla.h"

namespace deeprack::kernels::hopper {

sm90::MlaPlanBounds PlanBoundsOf(const MlaShape& shape);

// A plan's bytes: how many items and merges there are, then room for the most there could be.
struct PlanPlaces {
  static constexpr int64_t kItems = 16;  // where they begin
  explicit PlanPlaces(const sm90::MlaPlanBounds& bounds)
      : merges(RoundUp(kItems + bounds.items * static_cast<int64_t>(sizeof(sm90::MlaItem)), 16)),
        end(merges + bounds.merges * static_cast<int64_t>(sizeof(sm90::MlaMerge))) {}
  int64_t merges, end;
};

struct AttentionScratch {
  fp8_e4m3* q_latent;  // these three: over an fp8 cache
  bf16* q_rope;
  float* q_scales;
  float *sums, *stats, *walks;
};

// Tiles of so many columns.
AttentionScratch CutAttention(const MlaShape& shape, int64_t columns, int multiprocessors, ScratchCut& cut);

}  // namespace deeprack::kernels::hopper
