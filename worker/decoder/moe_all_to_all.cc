// Experts, exchange `all_to_all`: the tp ranks of a dp group share out its tokens; each token's row travels
// once to every rank that holds a part of its experts, which sends back its weighted sum. A token's sums are
// added in rank order, then the shared expert's.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "base/status_macros.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

using kernels::Matrix;

absl::Status Decoder::AllToAllExperts(const MoeWeights& moe, int64_t rows) {
  const int64_t own_begin = ShareBegin(rows, at_.tp_rank);
  const int64_t own_rows = ShareBegin(rows, at_.tp_rank + 1) - own_begin;
  const Matrix own = RowsOf(ws_.normed, own_begin, own_rows);
  const size_t ranks = static_cast<size_t>(parts_.layout.stage_size());

  std::vector<int64_t> rows_to(ranks);
  if (own_rows > 0) {
    Route(moe, own);
    PlanDispatch(own_rows, rows_to);
    PackDispatch(own);
  }
  std::vector<int64_t> counts(ranks * ranks);
  DR_RETURN_IF_ERROR(seams_.ExchangeCounts(rows_to, counts));
  std::vector<int64_t> rows_from(ranks);
  for (size_t r = 0; r < ranks; ++r) rows_from[r] = counts[r * ranks + static_cast<size_t>(at_.stage_rank)];
  const int64_t received = std::accumulate(rows_from.begin(), rows_from.end(), int64_t{0});
  const int64_t sent = std::accumulate(rows_to.begin(), rows_to.end(), int64_t{0});
  DR_CHECK(received <= ws_.expert_sums.rows);
  DR_RETURN_IF_ERROR(seams_.MoeDispatch(ws_.dispatch_send, rows_to, ws_.dispatch_receive, rows_from,
                                        ws_.dispatch_row_bytes));

  // The received rows, as many at a time as the expert buffers hold.
  const int64_t element = static_cast<int64_t>(SizeOf(parts_.compute));
  const size_t ids_bytes = static_cast<size_t>(config_.num_experts_per_tok) * sizeof(int32_t);
  const size_t weights_bytes = static_cast<size_t>(config_.num_experts_per_tok) * sizeof(float);
  const int64_t step = ws_.normed.rows;
  for (int64_t begin = 0; begin < received; begin += step) {
    const int64_t count = std::min(step, received - begin);
    std::byte* const first = ws_.dispatch_receive + begin * ws_.dispatch_row_bytes;
    for (int64_t i = 0; i < count; ++i) {
      const std::byte* routing = first + i * ws_.dispatch_row_bytes + config_.hidden_size * element;
      std::memcpy(ws_.expert_ids + i * config_.num_experts_per_tok, routing, ids_bytes);
      std::memcpy(ws_.expert_weights + i * config_.num_experts_per_tok, routing + ids_bytes, weights_bytes);
    }
    const Matrix x = {.data = first,
                      .type = parts_.compute,
                      .rows = count,
                      .cols = config_.hidden_size,
                      .stride = ws_.dispatch_row_bytes / element};
    LocalExperts(moe, x, RowsOf(ws_.expert_sums, begin, count));
  }
  DR_RETURN_IF_ERROR(seams_.MoeCombine(ws_.expert_sums.data, rows_from, ws_.returned.data, rows_to,
                                       config_.hidden_size * static_cast<int64_t>(sizeof(float))));
  if (rows == 0) return absl::OkStatus();

  Matrix shared = {};
  if (moe.shared) {
    const Matrix shared_out = FirstRows(ws_.shared_out, rows);
    FeedForward(*moe.shared, FirstRows(ws_.normed, rows), shared_out);
    DR_RETURN_IF_ERROR(seams_.FeedForwardOut(shared_out));
    shared = RowsOf(shared_out, own_begin, own_rows);
  }
  const bool alone = parts_.layout.tp == 1;
  const Matrix out = FirstRows(alone ? ws_.partial : ws_.share_out, own_rows);
  if (own_rows > 0) {
    kernels_.combine({.y = FirstRows(ws_.returned, sent),
                      .pair_to_row = ws_.dispatch_index,
                      .weights = ws_.dispatch_ones,
                      .top_k = ws_.dispatch_fanout,
                      .add = shared,
                      .out = out},
                     execution_);
  }
  if (alone) return absl::OkStatus();
  return seams_.GatherShares(out.data, ws_.partial.data, Shares(rows),
                             config_.hidden_size * static_cast<int64_t>(sizeof(float)));
}

// A token goes to every rank of each expert group that holds one of its choices, groups ascending.
void Decoder::PlanDispatch(int64_t tokens, std::span<int64_t> rows_to) {
  const int64_t top_k = config_.num_experts_per_tok;
  const int64_t group_experts = config_.n_routed_experts / parts_.layout.ep;
  const int64_t expert_tp = parts_.layout.expert_tp();
  std::vector<int64_t> groups(static_cast<size_t>(top_k));
  std::fill_n(ws_.dispatch_index, tokens * ws_.dispatch_fanout, -1);

  // First the rank (in dispatch_index) and the counts; then, as these are known, the place in the send
  // buffer.
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t c = 0; c < top_k; ++c) groups[c] = ws_.expert_ids[token * top_k + c] / group_experts;
    std::sort(groups.begin(), groups.end());
    const auto end = std::unique(groups.begin(), groups.end());
    int32_t* index = ws_.dispatch_index + token * ws_.dispatch_fanout;
    for (auto group = groups.begin(); group != end; ++group) {
      for (int64_t r = *group * expert_tp; r < (*group + 1) * expert_tp; ++r) {
        *index++ = static_cast<int32_t>(r);
        ++rows_to[static_cast<size_t>(r)];
      }
    }
  }
  std::vector<int32_t> next(rows_to.size());
  for (size_t r = 1; r < next.size(); ++r) next[r] = next[r - 1] + static_cast<int32_t>(rows_to[r - 1]);
  for (int64_t i = 0; i < tokens * ws_.dispatch_fanout; ++i) {
    if (ws_.dispatch_index[i] >= 0)
      ws_.dispatch_index[i] = next[static_cast<size_t>(ws_.dispatch_index[i])]++;
  }
}

// A row in the send buffer: activations, expert ids, expert weights.
void Decoder::PackDispatch(const Matrix& x) {
  const int64_t top_k = config_.num_experts_per_tok;
  const size_t row_bytes = static_cast<size_t>(config_.hidden_size) * SizeOf(parts_.compute);
  const size_t ids_bytes = static_cast<size_t>(top_k) * sizeof(int32_t);
  execution_.pool->ParallelFor(x.rows, [&](int64_t token) {
    for (int64_t i = 0; i < ws_.dispatch_fanout; ++i) {
      const int64_t place = ws_.dispatch_index[token * ws_.dispatch_fanout + i];
      if (place < 0) break;
      std::byte* row = ws_.dispatch_send + place * ws_.dispatch_row_bytes;
      std::memcpy(row, RowsOf(x, token, 1).data, row_bytes);
      std::memcpy(row + row_bytes, ws_.expert_ids + token * top_k, ids_bytes);
      std::memcpy(row + row_bytes + ids_bytes, ws_.expert_weights + token * top_k,
                  static_cast<size_t>(top_k) * sizeof(float));
    }
  });
}

}  // namespace deeprack::worker
