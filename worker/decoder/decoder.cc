#include "worker/decoder/decoder.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

using kernels::Matrix;

Decoder::Decoder(DecoderParts parts)
    : parts_(std::move(parts)),
      config_(*parts_.config),
      at_(model::CoordinatesOf(parts_.layout, parts_.rank)),
      kernels_(*parts_.kernels),
      execution_(parts_.execution),
      ws_(parts_.workspace),
      seams_(*parts_.seams) {}

absl::Status Decoder::Forward(const Batch& batch) {
  const int64_t rows = batch.rows;
  if (batch.rows_of_all_groups() == 0) return absl::OkStatus();
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const Matrix residual = FirstRows(ws_.residual, rows);
  const Matrix normed = FirstRows(ws_.normed, rows);
  const Matrix partial = FirstRows(ws_.partial, rows);
  Matrix output = partial;  // of the last block

  DR_RETURN_IF_ERROR(BeginStage(batch));
  const std::vector<LayerWeights>& layers = parts_.weights->layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerWeights& layer = layers[i];
    const AttentionWeights& attention = layer.attention;
    if (rows > 0) {
      if (i == 0) {
        kernels_.rms_norm({.x = residual, .weight = attention.input_norm, .eps = eps, .out = normed},
                          execution_);
      } else {
        kernels_.add_rms_norm(
            {.x = output, .residual = residual, .weight = attention.input_norm, .eps = eps, .out = normed},
            execution_);
      }
      DR_RETURN_IF_ERROR(Attention(attention, parts_.cache->layer(static_cast<int64_t>(i)), batch));
      kernels_.add_rms_norm(
          {.x = partial, .residual = residual, .weight = attention.post_norm, .eps = eps, .out = normed},
          execution_);
    }
    if (layer.dense) {
      DR_ASSIGN_OR_RETURN(output, DenseFeedForward(*layer.dense, rows));
    } else if (parts_.expert_exchange == model::ExpertExchange::kReplicated) {
      DR_ASSIGN_OR_RETURN(output, ReplicatedExperts(*layer.moe, batch));
    } else {
      DR_ASSIGN_OR_RETURN(output, AllToAllExperts(*layer.moe, batch));
    }
  }
  return EndStage(output);
}

// residual = the embedding, or what the previous stage sent: each rank a share of the rows, as all its tp
// ranks hold the same, joined here over the stage's faster links.
absl::Status Decoder::BeginStage(const Batch& batch) {
  const int64_t rows = batch.rows;
  if (rows == 0) return absl::OkStatus();
  const Matrix residual = FirstRows(ws_.residual, rows);
  if (at_.pp_rank == 0) {
    kernels_.embedding({.table = parts_.weights->embedding,
                        .table_type = parts_.weights->embedding_type,
                        .vocab_begin = parts_.weights->vocab_begin,
                        .vocab_rows = parts_.weights->vocab_rows,
                        .ids = batch.token_ids,
                        .out = residual},
                       execution_);
    return seams_.EmbeddingSum(residual);
  }
  const int64_t row_bytes = config_.hidden_size * static_cast<int64_t>(SizeOf(parts_.compute));
  if (parts_.layout.tp == 1) return seams_.ReceiveFromPreviousStage(residual.data, rows * row_bytes);
  const std::vector<int64_t> shares = Shares(rows);
  const int64_t own = shares[at_.tp_rank];
  if (own > 0) DR_RETURN_IF_ERROR(seams_.ReceiveFromPreviousStage(ws_.normed.data, own * row_bytes));
  return seams_.GatherShares(ws_.normed.data, residual.data, shares, row_bytes);
}

// Adds the last block's output, and hands this rank's share of the rows to the next stage if there is one.
absl::Status Decoder::EndStage(const Matrix& last_output) {
  const int64_t rows = last_output.rows;
  if (rows == 0) return absl::OkStatus();
  kernels_.add({.a = FirstRows(ws_.residual, rows), .b = last_output}, execution_);
  if (at_.pp_rank == parts_.layout.pp - 1) return absl::OkStatus();
  const int64_t begin = ShareBegin(rows, at_.tp_rank);
  const int64_t own = ShareBegin(rows, at_.tp_rank + 1) - begin;
  if (own == 0) return absl::OkStatus();
  const int64_t row_bytes = config_.hidden_size * static_cast<int64_t>(SizeOf(parts_.compute));
  return seams_.SendToNextStage(RowsOf(ws_.residual, begin, own).data, own * row_bytes);
}

absl::StatusOr<Matrix> Decoder::Logits(const int32_t* rows, int64_t count) {
  DR_CHECK(at_.pp_rank == parts_.layout.pp - 1 && count <= max_logit_rows());
  const Matrix logits = FirstRows(ws_.logits, count);
  if (count == 0) return logits;

  const Matrix head_rows = FirstRows(ws_.head_rows, count);
  kernels_.copy_rows({.x = ws_.residual, .index = rows, .out = head_rows}, execution_);
  kernels_.rms_norm({.x = head_rows,
                     .weight = parts_.weights->final_norm,
                     .eps = static_cast<float>(config_.rms_norm_eps),
                     .out = head_rows},
                    execution_);
  if (parts_.layout.tp == 1) {
    kernels_.linear({.x = head_rows, .weight = *parts_.weights->lm_head, .out = logits}, execution_);
    return logits;
  }

  // Every tp rank makes the logits of its vocabulary; blocks of equal size travel, the last one perhaps not
  // full.
  const Matrix own = FirstRows(ws_.logits_own, count);
  kernels_.linear({.x = head_rows,
                   .weight = *parts_.weights->lm_head,
                   .out = ColumnsOf(own, 0, parts_.weights->lm_head->n)},
                  execution_);
  const int64_t block = own.cols;
  DR_RETURN_IF_ERROR(seams_.GatherLogits(own.data, ws_.logits_gathered,
                                         count * block * static_cast<int64_t>(sizeof(float))));
  for (int64_t tp_rank = 0; tp_rank < parts_.layout.tp; ++tp_rank) {
    const int64_t begin = tp_rank * block;
    const Matrix gathered = {.data = ws_.logits_gathered + tp_rank * count * block,
                             .type = DType::kF32,
                             .rows = count,
                             .cols = std::min(block, config_.vocab_size - begin),
                             .stride = block};
    kernels_.copy_rows({.x = gathered, .out = ColumnsOf(logits, begin, gathered.cols)}, execution_);
  }
  return logits;
}

std::vector<int64_t> Decoder::Shares(int64_t rows) const {
  std::vector<int64_t> shares;
  for (int64_t r = 0; r < parts_.layout.tp; ++r)
    shares.push_back(ShareBegin(rows, r + 1) - ShareBegin(rows, r));
  return shares;
}

}  // namespace deeprack::worker
