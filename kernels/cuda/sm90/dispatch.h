// The exchange of rows between ranks that hold different experts: which rank gets which rows, and packing.
//
// Cost on an H200, for a decode step of 128 tokens, 8 ranks, and rows of 7168 that go to 4 ranks each:
// packing bf16 rows reads 1.8 MB and writes 7.4 MB, 1.9 us at 4.8 TB/s. Packing rounded rows reads 0.94 MB
// and writes 3.9 MB. The transfer between cards takes most of the time, and rounded rows halve its bytes.
#pragma once

#include "kernels/api/execution.h"
#include "kernels/api/moe.h"

namespace deeprack::kernels::sm90 {

// nullptr, or why this kernel cannot make the plan. It takes at most 256 groups of ranks and fewer than 2^24
// rows.
const char* WhyNotPlanDispatch(const PlanDispatchArgs& args);
// plan_dispatch of kernels/api/moe.h. One block a rank.
void PlanDispatch(const PlanDispatchArgs& args, const Execution& execution);

// nullptr, or why this kernel cannot pack the rows. Rows and their places are multiples of 16 bytes.
const char* WhyNotPackDispatch(const PackDispatchArgs& args);
// pack_dispatch of kernels/api/moe.h, with rounded rows too.
void PackDispatch(const PackDispatchArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
