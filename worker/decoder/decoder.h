// The forward pass of one pipeline stage on one rank, layer by layer, for any mix of prefill chunks and
// decodes.
//
// Data flow (T: rows of this dp group; H: hidden_size):
//   embedding or the previous stage -> residual [T, H]
//   per layer: norm -> attention -> sum over tp -> residual + norm -> feed-forward or experts -> sum
//   -> the next stage, or final norm and head for the rows whose logits are requested.
// The order of all operations and sums of a row depends on that row alone. So a row's numbers are the same in
// any batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/api/kernel_set.h"
#include "model/config/model_config.h"
#include "model/layout/expert_exchange.h"
#include "model/layout/layout.h"
#include "worker/decoder/batch.h"
#include "worker/decoder/dispatch_row_form.h"
#include "worker/decoder/seams.h"
#include "worker/decoder/workspace.h"
#include "worker/kv_cache/kv_cache.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// Everything that pointers point to must outlive the decoder.
struct DecoderParts {
  const model::ModelConfig* config = nullptr;
  model::Layout layout;
  Rank rank = 0;
  model::ExpertExchange expert_exchange = model::ExpertExchange::kReplicated;
  DType compute = DType::kBF16;
  kernels::ExpandedShape expanded;  // the shape of the largest step; heads == 0: no rows are expanded
  const StageWeights* weights = nullptr;
  const KvCache* cache = nullptr;
  Workspace workspace;
  Seams* seams = nullptr;
  const kernels::KernelSet* kernels = nullptr;
  kernels::Execution execution;
};

class Decoder {
 public:
  explicit Decoder(DecoderParts parts);

  // Computes this stage's layers for the batch and writes the KV cache. Collective over the stage, also for a
  // dp group without rows. Errors are those of the communicator.
  absl::Status Forward(const Batch& batch);

  // Last stage only, after Forward: the raw logits, fp32 [count, vocab_size], of the batch rows in `rows`
  // [count], which is in the device's memory; count <= max_logit_rows(). Collective over the tp group. Valid
  // until the next call. Errors are those of the communicator.
  absl::StatusOr<kernels::Matrix> Logits(const int32_t* rows, int64_t count);
  int64_t max_logit_rows() const { return ws_.logits.rows; }

  // The MTP layer (mtp.cc), on the last stage, if the weights have the layer. It reads the hidden state of a
  // position p and the token of position p + 1, and predicts the token of position p + 2. Its KV entry has
  // p's slot.
  bool has_mtp() const { return parts_.weights->mtp.has_value(); }
  // Call after Forward(batch). Computes the layer for every row of the batch and writes its KV cache.
  // next_tokens[i], in the device's memory [batch.rows], is the token after row i's position. Keeps the
  // hidden states of Forward. Collective over the stage, also for a dp group without rows. Errors are those
  // of the communicator.
  absl::Status ForwardMtp(const Batch& batch, const TokenId* next_tokens);
  // Computes the layer again on its own output. Row i of `batch` is at the position after the position of row
  // rows[i] of the last ForwardMtp or RepeatMtp (in the device's memory; null: row i); batch.token_ids[i] is
  // the token at the position after that. Otherwise as ForwardMtp.
  absl::Status RepeatMtp(const Batch& batch, const int32_t* rows);
  // As Logits, of rows of the last ForwardMtp or RepeatMtp. The buffer is that of Logits.
  absl::StatusOr<kernels::Matrix> MtpLogits(const int32_t* rows, int64_t count);

  // The most rows of a dp group with which Forward exchanges with other ranks only in kernels, so that the
  // step can be recorded: Seams::most_recorded_rows, limited by this decoder's buffers.
  int64_t most_recorded_rows() const;

 private:
  using Matrix = kernels::Matrix;

  // The output of a block (attention or feed-forward): rows of workspace.partial.
  struct BlockOutput {
    Matrix x;
    bool is_part = false;  // true: this rank's part, not yet summed over tp
  };

  absl::Status BeginStage(const Batch& batch);
  // Sends the rows to the next stage, if there is one.
  absl::Status EndStage(int64_t rows);

  // Computes one layer on the rows of `residual` and returns the output of its feed-forward, which is not yet
  // added. `before`: the output of the layer before, which is added first; null: there is none.
  absl::StatusOr<BlockOutput> Layer(const LayerWeights& layer, void* cache, const Matrix& residual,
                                    const BlockOutput* before, const Batch& batch);
  absl::Status Add(const BlockOutput& output, const Matrix& residual);
  // residual += output; workspace.normed = norm of the residual. If `rounded` is not null, also writes the
  // normed rows there, rounded to e4m3.
  absl::Status AddAndNorm(const BlockOutput& output, const Matrix& residual, const float* norm_weight,
                          std::byte* rounded);
  // out = the embeddings of the tokens ids [out.rows], in the device's memory.
  absl::Status Embed(const TokenId* ids, const Matrix& out);
  // Norms rows of `hidden` and multiplies them by the head; as Logits.
  absl::StatusOr<Matrix> LogitsOf(const Matrix& hidden, const float* norm_weight, const int32_t* rows,
                                  int64_t count);
  // Computes the MTP layer of the hidden states in workspace.normed, which the norm before the head has
  // normed.
  absl::Status RunMtp(const Batch& batch, const TokenId* tokens);
  // workspace.normed_rounded if products with these weights read rounded rows of workspace.normed; else null.
  std::byte* NormedFor(const AttentionWeights& weights) const;
  std::byte* NormedFor(const FeedForwardWeights& weights) const;
  std::byte* NormedFor(const LayerWeights& layer) const;  // for the layer's feed-forward
  bool ReadRounded(const kernels::PackedWeight& weight) const;

  // Reads workspace.normed. Writes this rank's part of the output to the first rows of workspace.partial.
  void Attention(const AttentionWeights& weights, void* cache, const Batch& batch);
  // Read ws_.q and the cache, write ws_.values: AttendAbsorbed the batch's absorbed rows, AttendExpanded its
  // expanded rows.
  void AttendAbsorbed(const AttentionWeights& weights, void* cache, const Batch& batch);
  void AttendExpanded(const AttentionWeights& weights, void* cache, const Batch& batch);
  void GroupedQueryAttention(const AttentionWeights& weights, void* cache, const Batch& batch);
  // Each reads workspace.normed and returns the block's output.
  BlockOutput DenseFeedForward(const FeedForwardWeights& weights, int64_t rows);
  absl::StatusOr<BlockOutput> ReplicatedExperts(const MoeWeights& moe, const Batch& batch);
  absl::StatusOr<BlockOutput> AllToAllExperts(const MoeWeights& moe, const Batch& batch);

  // out (fp32 [rows, H]) = this rank's part of a SwiGLU feed-forward of the first out.rows rows of
  // workspace.normed.
  void FeedForward(const FeedForwardWeights& weights, const Matrix& out);
  // Chooses the experts of the rows of x: writes workspace.expert_ids and expert_weights. With `row_count`
  // (in the device's memory), rows from *row_count on choose no experts.
  void Route(const MoeWeights& moe, const Matrix& x, const int32_t* row_count = nullptr);
  // out (fp32 [rows, H]) = add + the weighted sum of this rank's part of the chosen experts, added in the
  // order of choice. If `add` has no data: the sum alone. At most max_step_tokens rows.
  void LocalExperts(const MoeWeights& moe, const Matrix& x, const Matrix& add, const Matrix& out);

  // The functions below are for exchange all_to_all. RowsTo: the form of rows sent to these experts.
  DispatchRowForm RowFormOf(const MoeWeights& moe) const;
  // Fills workspace.dispatch_rows_to, dispatch_index and the send buffer. The send buffer has `slots` rows
  // for each rank; with slots == 0, the rows of each rank follow without gaps. Then SumsAmongPeers or
  // SumsByTheCommunicator brings the experts' sums to rows of workspace.returned.
  void Dispatch(const MoeWeights& moe, const Matrix& x, const kernels::RoundedRows& rounded, int64_t slots);
  int64_t SlotsAmongPeers(const Batch& batch) const;
  int64_t most_slots() const;  // the most slots for each rank that the buffers hold
  void SumsAmongPeers(const MoeWeights& moe, int64_t slots);
  absl::StatusOr<Matrix> SumsByTheCommunicator(const MoeWeights& moe);
  // Computes the experts' sums of the received rows, in parts as large as the expert buffers.
  // UnpackDispatchArgs describes `slots` and `rows_from`.
  void SumReceived(const MoeWeights& moe, int64_t received, int64_t slots = 0,
                   const int64_t* rows_from = nullptr);

  // The rows of a dp group are divided into one share of consecutive rows for each tp rank.
  int64_t ShareBegin(int64_t rows, int64_t tp_rank) const { return rows * tp_rank / parts_.layout.tp; }
  std::vector<int64_t> Shares(int64_t rows) const;

  const DecoderParts parts_;
  const model::ModelConfig& config_;
  const model::RankCoordinates at_;
  const kernels::KernelSet& kernels_;
  const kernels::Execution& execution_;
  const Workspace& ws_;
  Seams& seams_;
};

}  // namespace deeprack::worker
