// The largest operations of a rank's steps: the kernels size their scratch memory by them
// (KernelNeeds::scratch_bytes).
#pragma once

#include "kernels/api/step_bounds.h"
#include "sizing/attention_sizes.h"
#include "sizing/rank_spec.h"
#include "sizing/weight_manifest.h"

namespace deeprack::sizing {

// `manifest` and `attention` are the rank's; `multiprocessors` is Execution's.
kernels::StepBounds ScratchBoundsOf(const RankSpec& spec, const WeightManifest& manifest,
                                    const AttentionSizes& attention, int multiprocessors);

}  // namespace deeprack::sizing
