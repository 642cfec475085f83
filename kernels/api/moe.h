// Routing (DeepSeek-V3, arXiv:2412.19437, 2.1.2) and the movement of rows to experts and back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/rounded_rows.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

// scores = sigmoid(logits). Selection uses scores + bias: a group's value is the sum of its two best, the
// best topk_group groups stay, and the top_k best experts inside them are chosen (ties: the lower index).
// Weights are the unbiased scores of the chosen, divided by their sum + 1e-20 if norm_topk_prob, times
// routed_scaling_factor.
struct GateArgs {
  const float* logits = nullptr;  // [m, experts]
  const float* bias = nullptr;    // [experts]
  int64_t m = 0;
  int64_t experts = 0;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  int64_t top_k = 1;
  bool norm_topk_prob = true;
  float routed_scaling_factor = 1.0f;
  int32_t* ids = nullptr;    // [m, top_k], descending by biased score
  float* weights = nullptr;  // [m, top_k]
  // Where the kernels run: rows at and beyond this count choose nobody (id -1, weight 0). Null: all rows
  // count.
  const int32_t* row_count = nullptr;
};

// Groups (token, choice) pairs by expert for the experts [expert_begin, expert_begin + experts). Within an
// expert, pairs keep token order. Pair p = token * top_k + choice.
struct GroupByExpertArgs {
  const int32_t* ids = nullptr;  // [m, top_k]
  int64_t m = 0;
  int64_t top_k = 0;
  int64_t expert_begin = 0;
  int64_t experts = 0;
  int32_t* offsets = nullptr;      // out [experts + 1]
  int32_t* row_index = nullptr;    // out [<= m * top_k]: grouped row -> token
  int32_t* pair_to_row = nullptr;  // out [m * top_k]: pair -> grouped row, -1 when the expert is not here
};

// out[t] = sum over choices c, ascending, of weights[t, c] * y[pair_to_row[t * top_k + c]] (skipping -1), in
// fp32, rounded once. With `add`, starts from add[t] instead of zero.
struct CombineArgs {
  Matrix y;
  const int32_t* pair_to_row = nullptr;
  const float* weights = nullptr;  // [m, top_k]
  int64_t top_k = 0;
  Matrix add;  // [m, d] or data == null
  Matrix out;  // [m, d]
};

// Plans an exchange of rows between ranks that hold different experts. Group g of `group_ranks` ranks, from
// rank g * group_ranks on, holds experts [g * group_experts, + group_experts). A token's row travels once to
// every rank of each group that holds one of its choices (ids below 0 are none), groups ascending. The send
// buffer holds rows by rank, and for one rank by token.
struct PlanDispatchArgs {
  const int32_t* ids = nullptr;  // [m, top_k]
  int64_t m = 0;
  int64_t top_k = 0;
  int64_t ranks = 0;
  int64_t group_ranks = 1;
  int64_t group_experts = 0;
  int64_t fanout = 0;          // most ranks that a token reaches
  int64_t slots = 0;           // rank r's rows begin at place r * slots; 0: they follow each other
  int32_t* index = nullptr;    // out [m, fanout]: the row's places in the send buffer, -1 beyond the last
  int64_t* rows_to = nullptr;  // out [ranks]
};

// Rows `first` and those after it of `rows` rounded ones (base/rounded_rows.h).
struct RoundedRows {
  const std::byte* memory = nullptr;
  int64_t rows = 0;
  int64_t first = 0;
};

// A row in the buffers of an exchange: the activations, top_k expert ids, top_k weights; row_bytes apart,
// each part's bytes a multiple of 4. The activations are x's or, of a backend that says
// KernelSet::dispatches_rounded, where `rounded` has memory, those, each as RoundedRowLayoutOf says.
struct PackDispatchArgs {
  Matrix x;                        // [m, d]
  const int32_t* ids = nullptr;    // [m, top_k]
  const float* weights = nullptr;  // [m, top_k]
  int64_t top_k = 0;
  const int32_t* index = nullptr;  // [m, fanout], as planned
  int64_t fanout = 0;
  void* send = nullptr;
  int64_t row_bytes = 0;
  RoundedRows rounded;
};

// Takes ids and weights out of m received rows; their activations are used where they lie. With `slots`, row
// s * slots + i came from rank s where i < rows_from[s]; where not, its ids are -1 and nothing is read.
struct UnpackDispatchArgs {
  const void* received = nullptr;
  int64_t m = 0;
  int64_t row_bytes = 0;
  int64_t activation_bytes = 0;
  int64_t top_k = 0;
  int64_t slots = 0;
  const int64_t* rows_from = nullptr;
  int32_t* ids = nullptr;    // out [m, top_k]
  float* weights = nullptr;  // out [m, top_k]
};

}  // namespace deeprack::kernels
