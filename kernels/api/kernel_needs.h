// What a set of kernels asks of whoever gives it memory: the forms of weights and the sizes of what it works
// in. Pure functions of shapes: they are asked before anything is taken, on machines without a card too.
#pragma once

#include "base/weight_layout.h"
#include "kernels/api/attention.h"
#include "kernels/api/expanded_attention.h"
#include "kernels/api/packed_weight.h"
#include "kernels/api/step_bounds.h"

namespace deeprack::kernels {

// The types of cache that latent attention is planned for.
struct PlannedCaches {
  bool bf16 = false;
  bool fp8 = false;

  constexpr bool Has(DType type) const {
    return (type == DType::kBF16 && bf16) || (type == DType::kF8E4M3 && fp8);
  }
};

struct KernelNeeds {
  // Whether linear and grouped_linear take block formats; where not, such weights are expanded at load, but
  // for int4 in tiles that row_major names.
  bool multiplies_blocks = false;
  // The weights that the products are faster with row-major, or take in tiles.
  RowMajorTypes row_major;
  // Whether `linear` rounds rows to e4m3 for such a weight: then the norms round theirs on the way where
  // asked to, and all products of those rows share that (norm.h, linear.h). Null: for none.
  bool (*reads_rounded)(const PackedWeight&) = nullptr;
  // Whether rows for ranks of so many experts whose first product has such weights travel rounded:
  // pack_dispatch takes them so and grouped products read them as they come (moe.h, linear.h). Then the
  // norm's rows are rounded, too. Null: for none.
  bool (*dispatches_rounded)(const PackedWeight&, int64_t experts) = nullptr;
  // The scratch memory that operations within the bounds take. Null: none take any.
  ScratchBytes (*scratch_bytes)(const StepBounds&) = nullptr;
  // Latent attention whose work is planned on the host, once a step for all layers: over which caches, and
  // what the plan for steps of a shape takes. Null: it needs none.
  PlannedCaches planned_caches;
  int64_t (*mla_plan_bytes)(const MlaShape&) = nullptr;
  // The same for expanded attention: the bytes of any plan for sequences of so many rows and a context of so
  // many positions at most.
  int64_t (*expanded_plan_bytes)(const ExpandedShape&, int64_t sequences, int64_t max_context) = nullptr;
  // Whether ranks whose cards reach each other's memory sum, and exchange rows, in it (peers.h).
  bool sums_among_peers = false;
  bool exchanges_among_peers = false;
};

}  // namespace deeprack::kernels
