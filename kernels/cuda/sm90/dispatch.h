// Rows on their way between ranks that hold different experts: who gets which, and their packing.
//
// Decode of 128 tokens over 8 ranks, rows of 7168 that go to 4 of them: packing reads 1.8 MB in bf16 and
// writes 7.4, 1.9 us at 4.8 TB/s; rounded rows are 0.94 MB and 3.9. What counts on the way between the cards
// is the latter's half.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/moe.h"

namespace deeprack::kernels::sm90 {

// nullptr, or why this plan is not made here: at most 256 groups of ranks, fewer than 2^24 rows in all.
const char* WhyNotPlanDispatch(const PlanDispatchArgs& args);
// As kernels/api/moe.h says; a block a rank.
void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution);

// nullptr, or why these rows are not packed here: they and their places are whole runs of 16 bytes.
const char* WhyNotPackDispatch(const PackDispatchArgs& args);
// As kernels/api/moe.h says, rounded rows too.
void PackDispatch(const PackDispatchArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
