// Experts, exchange `all_to_all`: the tp ranks of a dp group share out its tokens; each token's row travels
// once to every rank that holds a part of its experts, which sends back its weighted sum. A token's sums are
// added in rank order, then the shared expert's. How many rows travel only the kernels know, and the exchange
// must: this is the one place within a step where the host waits for a device.
#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/status_macros.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

using kernels::Matrix;

absl::StatusOr<Matrix> Decoder::AllToAllExperts(const MoeWeights& moe, int64_t rows) {
  const int64_t own_begin = ShareBegin(rows, at_.tp_rank);
  const int64_t own_rows = ShareBegin(rows, at_.tp_rank + 1) - own_begin;
  const size_t ranks = static_cast<size_t>(parts_.layout.stage_size());

  Dispatch(moe, RowsOf(ws_.normed, own_begin, own_rows));
  std::vector<int64_t> counts(ranks * ranks);
  DR_RETURN_IF_ERROR(seams_.ExchangeCounts(ws_.dispatch_rows_to, ws_.dispatch_counts, counts));
  std::vector<int64_t> rows_to(ranks);
  std::vector<int64_t> rows_from(ranks);
  for (size_t r = 0; r < ranks; ++r) {
    rows_to[r] = counts[static_cast<size_t>(at_.stage_rank) * ranks + r];
    rows_from[r] = counts[r * ranks + static_cast<size_t>(at_.stage_rank)];
  }
  const int64_t received = std::accumulate(rows_from.begin(), rows_from.end(), int64_t{0});
  const int64_t sent = std::accumulate(rows_to.begin(), rows_to.end(), int64_t{0});
  DR_CHECK(received <= ws_.expert_sums.rows);
  DR_RETURN_IF_ERROR(seams_.MoeDispatch(ws_.dispatch_send, rows_to, ws_.dispatch_receive, rows_from,
                                        ws_.dispatch_row_bytes));
  SumReceived(moe, received);
  DR_RETURN_IF_ERROR(seams_.MoeCombine(ws_.expert_sums.data, rows_from, ws_.returned.data, rows_to,
                                       config_.hidden_size * static_cast<int64_t>(sizeof(float))));
  const Matrix output = FirstRows(ws_.partial, rows);
  if (rows == 0) return output;

  Matrix shared = {};
  if (moe.shared) {
    const Matrix shared_out = FirstRows(ws_.shared_out, rows);
    FeedForward(*moe.shared, FirstRows(ws_.normed, rows), shared_out);
    DR_RETURN_IF_ERROR(seams_.FeedForwardOut(shared_out));
    shared = RowsOf(shared_out, own_begin, own_rows);
  }
  const bool alone = parts_.layout.tp == 1;
  const Matrix own_output = alone ? output : FirstRows(ws_.share_out, own_rows);
  if (own_rows > 0) {
    kernels_.combine({.y = FirstRows(ws_.returned, sent),
                      .pair_to_row = ws_.dispatch_index,
                      .weights = ws_.dispatch_ones,
                      .top_k = ws_.dispatch_fanout,
                      .add = shared,
                      .out = own_output},
                     execution_);
  }
  if (alone) return output;
  DR_RETURN_IF_ERROR(seams_.GatherShares(own_output.data, ws_.partial.data, Shares(rows),
                                         config_.hidden_size * static_cast<int64_t>(sizeof(float))));
  return output;
}

void Decoder::Dispatch(const MoeWeights& moe, const Matrix& x) {
  const int64_t top_k = config_.num_experts_per_tok;
  if (x.rows > 0) Route(moe, x);
  kernels_.plan_dispatch({.ids = ws_.expert_ids,
                          .m = x.rows,
                          .top_k = top_k,
                          .ranks = parts_.layout.stage_size(),
                          .group_ranks = parts_.layout.expert_tp(),
                          .group_experts = config_.n_routed_experts / parts_.layout.ep,
                          .fanout = ws_.dispatch_fanout,
                          .index = ws_.dispatch_index,
                          .rows_to = ws_.dispatch_rows_to},
                         execution_);
  if (x.rows == 0) return;
  kernels_.pack_dispatch({.x = x,
                          .ids = ws_.expert_ids,
                          .weights = ws_.expert_weights,
                          .top_k = top_k,
                          .index = ws_.dispatch_index,
                          .fanout = ws_.dispatch_fanout,
                          .send = ws_.dispatch_send,
                          .row_bytes = ws_.dispatch_row_bytes},
                         execution_);
}

void Decoder::SumReceived(const MoeWeights& moe, int64_t received) {
  const int64_t element = static_cast<int64_t>(SizeOf(parts_.compute));
  const int64_t step = ws_.normed.rows;
  for (int64_t begin = 0; begin < received; begin += step) {
    const int64_t count = std::min(step, received - begin);
    std::byte* const first = ws_.dispatch_receive + begin * ws_.dispatch_row_bytes;
    kernels_.unpack_dispatch({.received = first,
                              .m = count,
                              .row_bytes = ws_.dispatch_row_bytes,
                              .activation_bytes = config_.hidden_size * element,
                              .top_k = config_.num_experts_per_tok,
                              .ids = ws_.expert_ids,
                              .weights = ws_.expert_weights},
                             execution_);
    const Matrix x = {.data = first,
                      .type = parts_.compute,
                      .rows = count,
                      .cols = config_.hidden_size,
                      .stride = ws_.dispatch_row_bytes / element};
    LocalExperts(moe, x, RowsOf(ws_.expert_sums, begin, count));
  }
}

}  // namespace deeprack::worker
