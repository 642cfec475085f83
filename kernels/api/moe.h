// Routing (DeepSeek-V3, arXiv:2412.19437, 2.1.2) and the movement of rows to experts and back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/rounded_rows.h"
#include "kernels/api/matrix.h"

namespace deeprack::kernels {

// Chooses top_k experts for each row. scores = sigmoid(logits). Selection uses scores + bias: the value of a
// group is the sum of its two largest biased scores; the topk_group groups of largest value stay; the top_k
// experts of largest biased score in these groups are chosen (ties: the lower index). The weights are the
// unbiased scores of the chosen experts times routed_scaling_factor, with norm_topk_prob divided by the sum
// of these scores + 1e-20.
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
  // In memory of the device: rows from *row_count on choose no expert (id -1, weight 0). Null: all rows
  // choose.
  const int32_t* row_count = nullptr;
};

// Groups (token, choice) pairs by expert, for the experts [expert_begin, expert_begin + experts). The pairs
// of an expert keep token order. Pair p = token * top_k + choice.
struct GroupByExpertArgs {
  const int32_t* ids = nullptr;  // [m, top_k]
  int64_t m = 0;
  int64_t top_k = 0;
  int64_t expert_begin = 0;
  int64_t experts = 0;
  int32_t* offsets = nullptr;      // out [experts + 1]
  int32_t* row_index = nullptr;    // out [<= m * top_k]: grouped row -> token
  int32_t* pair_to_row = nullptr;  // out [m * top_k]: pair -> grouped row; -1 for other experts
};

// Combines the experts' outputs: out[t] = sum over choices c, ascending, of weights[t, c] *
// y[pair_to_row[t * top_k + c]], in fp32, rounded once. Pairs with row -1 are skipped. The sum starts from
// add[t] if `add` has data, else from zero.
struct CombineArgs {
  Matrix y;
  const int32_t* pair_to_row = nullptr;
  const float* weights = nullptr;  // [m, top_k]
  int64_t top_k = 0;
  Matrix add;  // [m, d], or no data
  Matrix out;  // [m, d]
};

// Plans an exchange of rows between ranks that hold different experts. Group g is the `group_ranks` ranks
// from rank g * group_ranks on and holds experts [g * group_experts, (g + 1) * group_experts). A token's row
// is sent once to every rank of each group that holds one of the token's choices, in ascending order of
// groups; ids below 0 are no choice. The send buffer is ordered by rank, then by token.
struct PlanDispatchArgs {
  const int32_t* ids = nullptr;  // [m, top_k]
  int64_t m = 0;
  int64_t top_k = 0;
  int64_t ranks = 0;
  int64_t group_ranks = 1;
  int64_t group_experts = 0;
  int64_t fanout = 0;          // the most ranks that a token is sent to
  int64_t slots = 0;           // rank r's rows begin at place r * slots; 0: rows are contiguous
  int32_t* index = nullptr;    // out [m, fanout]: a row's places in the send buffer, then -1
  int64_t* rows_to = nullptr;  // out [ranks]: rows sent to each rank
};

// Rounded rows (base/rounded_rows.h) from row `first` on, of the `rows` rows at `memory`.
struct RoundedRows {
  const std::byte* memory = nullptr;
  int64_t rows = 0;
  int64_t first = 0;
};

// Packs rows into the send buffer of an exchange. A row of the buffer is the activations, then top_k expert
// ids, then top_k weights; rows are row_bytes apart and the bytes of each part are a multiple of 4. The
// activations are those of x or, if `rounded` has memory, the rounded rows in the layout of
// RoundedRowLayoutOf. Only backends with KernelSet::dispatches_rounded take `rounded`.
struct PackDispatchArgs {
  Matrix x;                        // [m, d]
  const int32_t* ids = nullptr;    // [m, top_k]
  const float* weights = nullptr;  // [m, top_k]
  int64_t top_k = 0;
  const int32_t* index = nullptr;  // [m, fanout], from PlanDispatch
  int64_t fanout = 0;
  void* send = nullptr;
  int64_t row_bytes = 0;
  RoundedRows rounded;
};

// Copies ids and weights out of m received rows; the activations are read in place by the products. With
// `slots` > 0, row s * slots + i came from rank s if i < rows_from[s]; every other row holds nothing, is not
// read, and gets the ids -1.
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
