// What this rank's steps ask of the kernels at most, for their scratch memory.
#pragma once

#include <vector>

#include "kernels/api/step_bounds.h"
#include "sizing/packed_tensors.h"
#include "sizing/workspace.h"

namespace deeprack::sizing {

// `tensors` are the rank's; `attention` and `expanded` are the shapes of the largest step, heads 0 for none.
kernels::StepBounds ScratchBoundsOf(const WorkspaceSpec& spec, const std::vector<PackedTensor>& tensors,
                                    const kernels::MlaShape& attention,
                                    const kernels::ExpandedShape& expanded, int multiprocessors);

}  // namespace deeprack::sizing
