// Continues a step loop on the ranks of another layout.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "coordinator/dispatch/step_loop.h"

namespace deeprack::coordinator {

// Call it after `loop`.Suspend, in place of its Resume. The new ranks form `dp` dp groups, and each has
// `blocks_per_dp_rank` pages.
void ResumeInLayout(StepLoop& loop, Epoch epoch, StepExecutor* executor, int32_t blocks_per_dp_rank,
                    int32_t dp);

}  // namespace deeprack::coordinator
