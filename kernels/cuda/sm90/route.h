// Routing of tokens to experts on Hopper: the gate, the grouping of rows by expert, and the combination of
// the experts' outputs.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/moe.h"

namespace deeprack::kernels::sm90 {

// nullptr, or why this kernel does not serve the shape. It takes 32, 64, 128 or 256 experts, groups that
// begin at a lane's first expert (a lane has experts / 32), at most 32 groups, and top_k of at most 32.
const char* WhyNotGate(int64_t experts, int64_t n_group, int64_t top_k);
// gate of kernels/api/moe.h. One warp a token.
void Gate(const GateArgs& args, const Execution& execution);

// nullptr, or why this kernel cannot group the pairs. It takes fewer than 2^24 pairs.
const char* WhyNotGroupByExpert(const GroupByExpertArgs& args);
// group_by_expert of kernels/api/moe.h. One block an expert.
void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution);

// nullptr, or why this kernel does not serve the arguments. y and add (if it has data) are of one type;
// columns and strides are multiples of 8.
const char* WhyNotCombine(const CombineArgs& args);
// combine of kernels/api/moe.h.
void Combine(const CombineArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
