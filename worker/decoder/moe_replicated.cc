// Experts with exchange `replicated`. Every rank of the stage has all tokens of the stage and applies the
// experts that the rank holds; one all-reduce over the stage sums the results. With one dp group, the parts
// of the shared expert are added before this all-reduce. With several dp groups, the shared expert is summed
// over tp by itself: otherwise the order of a token's sum, and so its last bit, would depend on the dp group
// of its sequence.
#include <algorithm>

#include "base/status_macros.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

using kernels::Matrix;

absl::StatusOr<Decoder::BlockOutput> Decoder::ReplicatedExperts(const MoeWeights& moe, const Batch& batch) {
  const int64_t rows = batch.rows;
  const int64_t all_rows = batch.rows_of_all_groups();
  int64_t own_begin = 0;
  for (int32_t group = 0; group < at_.dp_rank; ++group) own_begin += batch.rows_of_group[group];
  const Matrix own = FirstRows(ws_.normed, rows);
  Matrix tokens = own;
  if (parts_.layout.dp > 1) {
    tokens = FirstRows(ws_.gathered, all_rows);
    DR_RETURN_IF_ERROR(seams_.GatherTokens(own, tokens, batch.rows_of_group));
  }

  const bool one_group = parts_.layout.dp == 1;
  const Matrix shared_out = FirstRows(ws_.shared_out, rows);
  if (moe.shared && rows > 0) FeedForward(*moe.shared, shared_out);

  // The expert buffers hold the tokens of one dp group, so the tokens are processed in parts of that size.
  const int64_t step = ws_.normed.rows;
  for (int64_t begin = 0; begin < all_rows; begin += step) {
    const int64_t count = std::min(step, all_rows - begin);
    const Matrix x = RowsOf(tokens, begin, count);
    // Only with one dp group is the batch padded, and then all its rows are in one part.
    Route(moe, x, one_group ? batch.row_count : nullptr);
    LocalExperts(moe, x, one_group && moe.shared ? shared_out : Matrix{}, RowsOf(ws_.partial, begin, count));
  }
  const Matrix output = RowsOf(ws_.partial, own_begin, rows);
  if (one_group) return BlockOutput{output, /*is_part=*/true};  // with one dp group the stage is the tp group
  DR_RETURN_IF_ERROR(seams_.ExpertsOut(FirstRows(ws_.partial, all_rows)));
  if (moe.shared && rows > 0) {
    DR_RETURN_IF_ERROR(seams_.BlockSum(shared_out));
    kernels_.add({.a = output, .b = shared_out}, execution_);
  }
  return BlockOutput{output};
}

}  // namespace deeprack::worker
