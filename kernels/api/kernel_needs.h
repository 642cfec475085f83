// What a set of kernels needs: the layouts of its weights and the sizes of its scratch memory and plans. The
// functions are pure functions of shapes. They work before any memory is allocated, and without a card.
#pragma once

#include "base/weight_layout.h"
#include "kernels/api/attention.h"
#include "kernels/api/expanded_attention.h"
#include "kernels/api/packed_weight.h"
#include "kernels/api/step_bounds.h"

namespace deeprack::kernels {

// The cache types for which latent attention is planned on the host.
struct PlannedCaches {
  bool bf16 = false;
  bool fp8 = false;

  constexpr bool Has(DType type) const {
    return (type == DType::kBF16 && bf16) || (type == DType::kF8E4M3 && fp8);
  }
};

struct KernelNeeds {
  // True when linear and grouped_linear multiply by block formats. Otherwise weights in block formats are
  // expanded at load, except int4 weights if row_major.int4 names tiles.
  bool multiplies_blocks = false;
  // The types of weights that the products read row-major, and the tiles that they read int4 weights in.
  RowMajorTypes row_major;
  // True when `linear` rounds the rows of x to e4m3 for this weight. The norms then write e4m3 rows too where
  // their arguments ask for it, and all products of these rows read them (norm.h, linear.h). Null: false for
  // every weight.
  bool (*reads_rounded)(const PackedWeight&) = nullptr;
  // True when rows sent to experts' ranks are in e4m3. `weight` is the experts' gate_up weight, `experts` the
  // number of experts on a rank. The norm then writes e4m3 rows, pack_dispatch sends them, and the grouped
  // product reads them without another conversion (moe.h, linear.h). Null: false for every weight.
  bool (*dispatches_rounded)(const PackedWeight&, int64_t experts) = nullptr;
  // The scratch memory that operations within the bounds need. Null: none.
  ScratchBytes (*scratch_bytes)(const StepBounds&) = nullptr;
  // Latent attention may be planned on the host, once a step for all layers. `planned_caches` are the cache
  // types with a plan; `mla_plan_bytes` gives the bytes of a plan for steps of a shape. Null: no plan.
  PlannedCaches planned_caches;
  int64_t (*mla_plan_bytes)(const MlaShape&) = nullptr;
  // The same for expanded attention: the most bytes of a plan for `sequences` sequences of at most
  // `max_context` positions, and at most shape.rows rows. Null: no plan.
  int64_t (*expanded_plan_bytes)(const ExpandedShape&, int64_t sequences, int64_t max_context) = nullptr;
  // True when the set has peer_sum and peer_exchange (peers.h).
  bool sums_among_peers = false;
  bool exchanges_among_peers = false;
};

}  // namespace deeprack::kernels
