// Experts with exchange `all_to_all`. The tp ranks of a dp group divide its tokens among themselves. Each
// token's row is sent once to every rank that holds a part of the token's experts; that rank sends back its
// weighted sum. A token's sums are added in rank order, then the shared expert's output. Only the kernels
// know the number of rows sent. Cards that reach each other's memory exchange few rows without the host. A
// communicator needs the numbers on the host: this is the only place within a step where the host waits for a
// device.
#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

using kernels::Matrix;

absl::StatusOr<Decoder::BlockOutput> Decoder::AllToAllExperts(const MoeWeights& moe, const Batch& batch) {
  const int64_t rows = batch.rows;
  const int64_t own_begin = ShareBegin(rows, at_.tp_rank);
  const int64_t own_rows = ShareBegin(rows, at_.tp_rank + 1) - own_begin;
  const bool alone = parts_.layout.tp == 1;

  const Matrix own = RowsOf(ws_.normed, own_begin, own_rows);
  // Only a batch of a dp group with one tp rank is padded.
  if (own_rows > 0) Route(moe, own, alone ? batch.row_count : nullptr);
  const int64_t slots = SlotsAmongPeers(batch);
  Dispatch(moe, own, {.memory = ws_.normed_rounded, .rows = rows, .first = own_begin}, slots);
  Matrix returned = FirstRows(ws_.returned, slots * parts_.layout.stage_size());
  if (slots > 0) {
    SumsAmongPeers(moe, slots);
  } else {
    DR_ASSIGN_OR_RETURN(returned, SumsByTheCommunicator(moe));
  }
  const Matrix output = FirstRows(ws_.partial, rows);
  if (rows == 0) return BlockOutput{output};

  Matrix shared = {};
  if (moe.shared) {
    const Matrix shared_out = FirstRows(ws_.shared_out, rows);
    FeedForward(*moe.shared, shared_out);
    DR_RETURN_IF_ERROR(seams_.BlockSum(shared_out));
    shared = RowsOf(shared_out, own_begin, own_rows);
  }
  const Matrix own_output = alone ? output : FirstRows(ws_.share_out, own_rows);
  if (own_rows > 0) {
    kernels_.combine({.y = returned,
                      .pair_to_row = ws_.dispatch_index,
                      .weights = ws_.dispatch_ones,
                      .top_k = ws_.dispatch_fanout,
                      .add = shared,
                      .out = own_output},
                     execution_);
  }
  if (alone) return BlockOutput{output};
  DR_RETURN_IF_ERROR(seams_.GatherShares(own_output.data, ws_.partial.data, Shares(rows),
                                         config_.hidden_size * static_cast<int64_t>(sizeof(float))));
  return BlockOutput{output};
}

// The most rows that a rank sends to another rank, if peers can exchange that many; 0 if the communicator
// must exchange the rows. The result is the same on all ranks of the stage.
int64_t Decoder::SlotsAmongPeers(const Batch& batch) const {
  int64_t slots = 0;
  for (const int64_t rows : batch.rows_of_group) slots = std::max(slots, CeilDiv(rows, parts_.layout.tp));
  return slots <= most_slots() && seams_.ExchangesAmongPeers(slots) ? slots : 0;
}

int64_t Decoder::most_slots() const {
  return std::min({ws_.normed.rows, ws_.expert_sums.rows, ws_.returned.rows}) / parts_.layout.stage_size();
}

int64_t Decoder::most_recorded_rows() const {
  const int64_t most = seams_.most_recorded_rows(parts_.expert_exchange);
  const bool exchanges = parts_.expert_exchange == model::ExpertExchange::kAllToAll;
  return exchanges ? std::min(most, most_slots()) : most;
}

void Decoder::SumsAmongPeers(const MoeWeights& moe, int64_t slots) {
  const int64_t ranks = parts_.layout.stage_size();
  int64_t* const rows_from = ws_.dispatch_counts;
  int64_t* const rows_returned = ws_.dispatch_counts + ranks;  // equal to the rows sent
  seams_.DispatchAmongPeers({.send = ws_.dispatch_send,
                             .rows_to = ws_.dispatch_rows_to,
                             .receive = ws_.dispatch_receive,
                             .rows_from = rows_from,
                             .slots = slots,
                             .row_bytes = RowFormOf(moe).bytes});
  SumReceived(moe, slots * ranks, slots, rows_from);
  seams_.CombineAmongPeers({.send = ws_.expert_sums.data,
                            .rows_to = rows_from,
                            .receive = ws_.returned.data,
                            .rows_from = rows_returned,
                            .slots = slots,
                            .row_bytes = config_.hidden_size * static_cast<int64_t>(sizeof(float))});
}

absl::StatusOr<Matrix> Decoder::SumsByTheCommunicator(const MoeWeights& moe) {
  const size_t ranks = static_cast<size_t>(parts_.layout.stage_size());
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
  DR_RETURN_IF_ERROR(
      seams_.MoeDispatch(ws_.dispatch_send, rows_to, ws_.dispatch_receive, rows_from, RowFormOf(moe).bytes));
  SumReceived(moe, received);
  DR_RETURN_IF_ERROR(seams_.MoeCombine(ws_.expert_sums.data, rows_from, ws_.returned.data, rows_to,
                                       config_.hidden_size * static_cast<int64_t>(sizeof(float))));
  return FirstRows(ws_.returned, sent);
}

DispatchRowForm Decoder::RowFormOf(const MoeWeights& moe) const {
  return DispatchRowFormOf(moe.gate_up.front(), std::ssize(moe.gate_up), config_, parts_.compute, kernels_);
}

void Decoder::Dispatch(const MoeWeights& moe, const Matrix& x, const kernels::RoundedRows& rounded,
                       int64_t slots) {
  const DispatchRowForm rows = RowFormOf(moe);
  const int64_t top_k = config_.num_experts_per_tok;
  kernels_.plan_dispatch({.ids = ws_.expert_ids,
                          .m = x.rows,
                          .top_k = top_k,
                          .ranks = parts_.layout.stage_size(),
                          .group_ranks = parts_.layout.expert_tp(),
                          .group_experts = config_.n_routed_experts / parts_.layout.ep,
                          .fanout = ws_.dispatch_fanout,
                          .slots = slots,
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
                          .row_bytes = rows.bytes,
                          .rounded = rows.type == DType::kF8E4M3 ? rounded : kernels::RoundedRows{}},
                         execution_);
}

void Decoder::SumReceived(const MoeWeights& moe, int64_t received, int64_t slots, const int64_t* rows_from) {
  const DispatchRowForm rows = RowFormOf(moe);
  const int64_t step = ws_.normed.rows;
  for (int64_t begin = 0; begin < received; begin += step) {
    const int64_t count = std::min(step, received - begin);
    std::byte* const first = ws_.dispatch_receive + begin * rows.bytes;
    kernels_.unpack_dispatch({.received = first,
                              .m = count,
                              .row_bytes = rows.bytes,
                              .activation_bytes = rows.activation_bytes,
                              .top_k = config_.num_experts_per_tok,
                              .slots = slots,
                              .rows_from = rows_from,
                              .ids = ws_.expert_ids,
                              .weights = ws_.expert_weights},
                             execution_);
    const Matrix x = {.data = first,
                      .type = rows.type,
                      .rows = count,
                      .cols = config_.hidden_size,
                      .stride = rows.bytes / static_cast<int64_t>(SizeOf(rows.type))};
    LocalExperts(moe, x, /*add=*/{}, RowsOf(ws_.expert_sums, begin, count));
  }
}

}  // namespace deeprack::worker
