// What this rank's steps ask of the kernels at most, for their scratch memory.
#pragma once

#include <vector>

#include "kernels/api/step_bounds.h"
#include "model/budget/packed_tensors.h"
#include "model/budget/workspace.h"

namespace deeprack::sizing {

// `tensors` are the rank's; `attention` and `expanded` are the shapes of the largest step, heads 0 for none.
kernels::StepBounds StepBoundsOf(const model::WorkspaceSpec& spec,
                                 const std::vector<model::PackedTensor>& tensors,
                                 const kernels::MlaShape& attention, const kernels::ExpandedShape& expanded,
                                 int multiprocessors);

}  // namespace deeprack::sizing
