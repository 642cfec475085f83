#include "worker/decoder/decoder.h"

#include <algorithm>
#include <optional>
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
  if (batch.rows_of_all_groups() == 0) return absl::OkStatus();
  const Matrix residual = FirstRows(ws_.residual, batch.rows);
  DR_RETURN_IF_ERROR(BeginStage(batch));
  std::optional<BlockOutput> output;  // of the last block
  const std::vector<LayerWeights>& layers = parts_.weights->layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    DR_ASSIGN_OR_RETURN(output, Layer(layers[i], parts_.cache->layer(static_cast<int64_t>(i)), residual,
                                      output ? &*output : nullptr, batch));
  }
  DR_RETURN_IF_ERROR(Add(*output, residual));
  return EndStage(batch.rows);
}

absl::StatusOr<Decoder::BlockOutput> Decoder::Layer(const LayerWeights& layer, void* cache,
                                                    const Matrix& residual, const BlockOutput* before,
                                                    const Batch& batch) {
  const AttentionWeights& attention = layer.attention;
  const int64_t rows = batch.rows;
  if (rows > 0) {
    if (before == nullptr) {
      kernels_.rms_norm({.x = residual,
                         .weight = attention.input_norm,
                         .eps = static_cast<float>(config_.rms_norm_eps),
                         .out = FirstRows(ws_.normed, rows),
                         .rounded = NormedFor(attention)},
                        execution_);
    } else {
      DR_RETURN_IF_ERROR(AddAndNorm(*before, residual, attention.input_norm, NormedFor(attention)));
    }
    Attention(attention, cache, batch);
    DR_RETURN_IF_ERROR(AddAndNorm({FirstRows(ws_.partial, rows), /*is_part=*/true}, residual,
                                  attention.post_norm, NormedFor(layer)));
  }
  if (layer.dense) return DenseFeedForward(*layer.dense, rows);
  return parts_.expert_exchange == model::ExpertExchange::kReplicated ? ReplicatedExperts(*layer.moe, batch)
                                                                      : AllToAllExperts(*layer.moe, batch);
}

absl::Status Decoder::Add(const BlockOutput& output, const Matrix& residual) {
  if (output.x.rows == 0) return absl::OkStatus();
  if (output.is_part) DR_RETURN_IF_ERROR(seams_.BlockSum(output.x));
  kernels_.add({.a = residual, .b = output.x}, execution_);
  return absl::OkStatus();
}

absl::Status Decoder::AddAndNorm(const BlockOutput& output, const Matrix& residual, const float* norm_weight,
                                 std::byte* rounded) {
  const kernels::AddRmsNormArgs norm = {.x = output.x,
                                        .residual = residual,
                                        .weight = norm_weight,
                                        .eps = static_cast<float>(config_.rms_norm_eps),
                                        .out = FirstRows(ws_.normed, output.x.rows),
                                        .rounded = rounded};
  if (output.is_part) return seams_.BlockSumAndNorm(norm);
  kernels_.add_rms_norm(norm, execution_);
  return absl::OkStatus();
}

std::byte* Decoder::NormedFor(const AttentionWeights& weights) const {
  const bool read = ReadRounded(weights.q_a ? *weights.q_a : weights.q) ||
                    ReadRounded(weights.k ? *weights.k : weights.kv_a);
  return read ? ws_.normed_rounded : nullptr;
}

std::byte* Decoder::NormedFor(const FeedForwardWeights& weights) const {
  return ReadRounded(weights.gate_up) ? ws_.normed_rounded : nullptr;
}

std::byte* Decoder::NormedFor(const LayerWeights& layer) const {
  if (layer.dense) return NormedFor(*layer.dense);
  const bool travel = parts_.expert_exchange == model::ExpertExchange::kAllToAll &&
                      RowFormOf(*layer.moe).type == DType::kF8E4M3;
  if (travel) return ws_.normed_rounded;
  return layer.moe->shared ? NormedFor(*layer.moe->shared) : nullptr;
}

bool Decoder::ReadRounded(const kernels::PackedWeight& weight) const {
  return kernels_.reads_rounded != nullptr && kernels_.reads_rounded(weight);
}

// residual = the embedding, or the rows from the previous stage. All tp ranks of a stage hold the same rows.
// So each rank receives a share of the rows over the slower link between stages, and the shares are joined
// within the stage.
absl::Status Decoder::BeginStage(const Batch& batch) {
  const int64_t rows = batch.rows;
  if (rows == 0) return absl::OkStatus();
  const Matrix residual = FirstRows(ws_.residual, rows);
  if (at_.pp_rank == 0) return Embed(batch.token_ids, residual);
  const int64_t row_bytes = config_.hidden_size * static_cast<int64_t>(SizeOf(parts_.compute));
  if (parts_.layout.tp == 1) return seams_.ReceiveFromPreviousStage(residual.data, rows * row_bytes);
  const std::vector<int64_t> shares = Shares(rows);
  const int64_t own = shares[at_.tp_rank];
  if (own > 0) DR_RETURN_IF_ERROR(seams_.ReceiveFromPreviousStage(ws_.normed.data, own * row_bytes));
  return seams_.GatherShares(ws_.normed.data, residual.data, shares, row_bytes);
}

absl::Status Decoder::Embed(const TokenId* ids, const Matrix& out) {
  kernels_.embedding({.table = parts_.weights->embedding,
                      .table_type = parts_.weights->embedding_type,
                      .vocab_begin = parts_.weights->vocab_begin,
                      .vocab_rows = parts_.weights->vocab_rows,
                      .ids = ids,
                      .out = out},
                     execution_);
  return seams_.EmbeddingSum(out);
}

// Sends this rank's share of the rows.
absl::Status Decoder::EndStage(int64_t rows) {
  if (rows == 0 || at_.pp_rank == parts_.layout.pp - 1) return absl::OkStatus();
  const int64_t begin = ShareBegin(rows, at_.tp_rank);
  const int64_t own = ShareBegin(rows, at_.tp_rank + 1) - begin;
  if (own == 0) return absl::OkStatus();
  const int64_t row_bytes = config_.hidden_size * static_cast<int64_t>(SizeOf(parts_.compute));
  return seams_.SendToNextStage(RowsOf(ws_.residual, begin, own).data, own * row_bytes);
}

absl::StatusOr<Matrix> Decoder::Logits(const int32_t* rows, int64_t count) {
  return LogitsOf(ws_.residual, parts_.weights->final_norm, rows, count);
}

absl::StatusOr<Matrix> Decoder::LogitsOf(const Matrix& hidden, const float* norm_weight, const int32_t* rows,
                                         int64_t count) {
  DR_CHECK(at_.pp_rank == parts_.layout.pp - 1 && count <= max_logit_rows());
  const Matrix logits = FirstRows(ws_.logits, count);
  if (count == 0) return logits;

  const Matrix head_rows = FirstRows(ws_.head_rows, count);
  kernels_.copy_rows({.x = hidden, .index = rows, .out = head_rows}, execution_);
  kernels_.rms_norm({.x = head_rows,
                     .weight = norm_weight,
                     .eps = static_cast<float>(config_.rms_norm_eps),
                     .out = head_rows},
                    execution_);
  if (parts_.layout.tp == 1) {
    kernels_.linear({.x = head_rows, .weight = *parts_.weights->lm_head, .out = logits}, execution_);
    return logits;
  }

  // Every tp rank computes the logits of its part of the vocabulary. The exchanged blocks have equal sizes;
  // the last ranks' blocks may not be full.
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
