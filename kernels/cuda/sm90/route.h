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

// Groups (token, choice) pairs by expert for the experts [expert_begin, + experts), in token order within an
// expert; pair p = token * top_k + choice. Rows of expert e: [offsets[e], offsets[e + 1]) or, with group_rows
// > 0, [e * group_rows, + counts[e]): what the products take as kRanges and kMasked. Pairs beyond group_rows
// are dropped, as if their expert were not here: choose it as the number of tokens and none is.
struct GroupRowsArgs {
  const int32_t* ids = nullptr;  // [m, top_k]
  int64_t m = 0;
  int64_t top_k = 0;
  int64_t expert_begin = 0;
  int64_t experts = 0;
  int64_t group_rows = 0;
  int32_t* offsets = nullptr;      // out [experts + 1], without group_rows
  int32_t* counts = nullptr;       // out [experts], with group_rows
  int32_t* row_index = nullptr;    // out: grouped row -> token
  int32_t* pair_to_row = nullptr;  // out [m * top_k]: pair -> grouped row, -1 when it has none here
};
void GroupRows(const GroupRowsArgs& args, const Execution& execution);

// nullptr, or why these arguments are not served here: y and add, if it has data, are of one type; columns
// and strides are multiples of 8.
const char* WhyNotCombine(const CombineArgs& args);
// As kernels/api/moe.h says.
void Combine(const CombineArgs& args, const Execution& execution);

}  // namespace deeprack::kernels::sm90
