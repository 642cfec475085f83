// Routing of tokens to experts on Hopper: the gate, the grouping of rows by expert, and the way back.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/moe.h"

namespace deeprack::kernels::sm90 {

// nullptr, or why a gate of this shape is not served here: it takes 32, 64, 128 or 256 experts, groups that
// begin at a lane's first expert (a lane has experts / 32), at most 32 groups, top_k at most 32.
const char* WhyNotGate(int64_t experts, int64_t n_group, int64_t top_k);
// As kernels/api/moe.h says; a warp a token.
void Gate(const GateArgs& args, const Execution& execution);

// nullptr, or why these pairs are not grouped here: fewer than 2^24 of them.
const char* WhyNotGroupByExpert(const GroupByExpertArgs& args);
// As kernels/api/moe.h says; a block an expert.
void GroupByExpert(const GroupByExpertArgs& args, const Execution& execution);

// nullptr, or why these arguments are not served here: y and add, if it has data, are of one type; columns
// and strides are multiples of 8.
const char* WhyNotCombine(const CombineArgs& args);
// As kernels/api/moe.h says.
void Combine(const CombineArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
