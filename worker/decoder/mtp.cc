// The MTP layer (DeepSeek-V3, arXiv:2412.19437, section 2.2): a decoder layer whose input row is
//   eh_proj [ enorm(embedding of the token at p + 1) | hnorm(hidden state of p) ]
// with rope's position p. The hidden state is the model's after its final norm: DeepSeek's checkpoints are
// served so by vLLM (deepseek_mtp) and SGLang (deepseek_nextn), and demo/train trains so. Run again on its
// own output, the layer reads that output after shared_head.norm, the norm before the head, as it reads the
// model's.
#include "base/check.h"
#include "base/status_macros.h"
#include "worker/decoder/decoder.h"
#include "worker/decoder/matrix_view.h"

namespace deeprack::worker {

using kernels::Matrix;

absl::Status Decoder::ForwardMtp(const Batch& batch, const TokenId* next_tokens) {
  DR_CHECK(has_mtp());
  kernels_.rms_norm({.x = FirstRows(ws_.residual, batch.rows),
                     .weight = parts_.weights->final_norm,
                     .eps = static_cast<float>(config_.rms_norm_eps),
                     .out = FirstRows(ws_.normed, batch.rows)},
                    execution_);
  return RunMtp(batch, next_tokens);
}

absl::Status Decoder::RepeatMtp(const Batch& batch, const int32_t* rows) {
  DR_CHECK(has_mtp());
  const Matrix normed = FirstRows(ws_.normed, batch.rows);
  kernels_.copy_rows({.x = ws_.mtp_residual, .index = rows, .out = normed}, execution_);
  kernels_.rms_norm({.x = normed,
                     .weight = parts_.weights->mtp->head_norm,
                     .eps = static_cast<float>(config_.rms_norm_eps),
                     .out = normed},
                    execution_);
  return RunMtp(batch, batch.token_ids);
}

absl::Status Decoder::RunMtp(const Batch& batch, const TokenId* tokens) {
  if (batch.rows_of_all_groups() == 0) return absl::OkStatus();
  const MtpWeights& mtp = *parts_.weights->mtp;
  const float eps = static_cast<float>(config_.rms_norm_eps);
  const int64_t hidden = config_.hidden_size;
  const Matrix residual = FirstRows(ws_.mtp_residual, batch.rows);
  if (batch.rows > 0) {
    const Matrix input = FirstRows(ws_.mtp_input, batch.rows);
    kernels_.rms_norm({.x = FirstRows(ws_.normed, batch.rows),
                       .weight = mtp.hidden_norm,
                       .eps = eps,
                       .out = ColumnsOf(input, hidden, hidden)},
                      execution_);
    DR_RETURN_IF_ERROR(Embed(tokens, residual));
    kernels_.rms_norm(
        {.x = residual, .weight = mtp.embed_norm, .eps = eps, .out = ColumnsOf(input, 0, hidden)},
        execution_);
    kernels_.linear({.x = input, .weight = mtp.proj, .out = residual}, execution_);
  }
  void* const cache = parts_.cache->layer(static_cast<int64_t>(parts_.weights->layers.size()));
  DR_ASSIGN_OR_RETURN(const BlockOutput output, Layer(mtp.layer, cache, residual, nullptr, batch));
  return Add(output, residual);
}

absl::StatusOr<Matrix> Decoder::MtpLogits(const int32_t* rows, int64_t count) {
  DR_CHECK(has_mtp());
  return LogitsOf(ws_.mtp_residual, parts_.weights->mtp->head_norm, rows, count);
}

}  // namespace deeprack::worker
