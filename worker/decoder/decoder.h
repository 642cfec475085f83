// The forward pass of one pipeline stage on one rank: straight-line, one layer after the other, for any mix
// of prefill chunks and decodes.
//
// Data flow (T rows of this dp group; H hidden_size):
//   embedding or the previous stage -> residual [T, H]
//   per layer: norm -> attention -> sum over tp -> residual + norm -> feed-forward or experts -> sum
//   -> the next stage, or final norm and head for the rows that are asked for.
// Every operation and every sum is fixed by a row alone, so that a row's numbers are the same in any batch.
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
#include "worker/decoder/seams.h"
#include "worker/decoder/travelling_rows.h"
#include "worker/decoder/workspace.h"
#include "worker/kv_cache/kv_cache.h"
#include "worker/weights/stage_weights.h"

namespace deeprack::worker {

// What a decoder works with; everything outlives it.
struct DecoderParts {
  const model::ModelConfig* config = nullptr;
  model::Layout layout;
  Rank rank = 0;
  model::ExpertExchange expert_exchange = model::ExpertExchange::kReplicated;
  DType compute = DType::kBF16;
  kernels::ExpandedShape expanded;  // of the largest step; heads 0: nothing is expanded
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

  // Takes the batch through this stage's layers; writes the KV cache. Collective over the stage, even for a
  // dp group without rows. Errors are the communicator's.
  absl::Status Forward(const Batch& batch);

  // Last stage, after Forward: the raw logits, fp32 [count, vocab_size], of the batch rows that `rows` (in
  // the device's memory) names, at most max_logit_rows(). Collective over the tp group. Valid until the next
  // call.
  absl::StatusOr<kernels::Matrix> Logits(const int32_t* rows, int64_t count);
  int64_t max_logit_rows() const { return ws_.logits.rows; }

  // Rows of a dp group up to which Forward meets other ranks in kernels alone, so that it can be recorded:
  // Seams::most_recorded_rows, as far as this decoder's buffers go.
  int64_t most_recorded_rows() const;

 private:
  using Matrix = kernels::Matrix;

  // A block's output: rows of workspace.partial.
  struct BlockOutput {
    Matrix x;
    bool is_part = false;  // this rank's, still to be summed over tp
  };

  absl::Status BeginStage(const Batch& batch);
  absl::Status EndStage(const BlockOutput& last_output);

  // workspace.residual += the output; workspace.normed = its norm, which goes to `rounded` too where it is
  // not null.
  absl::Status AddAndNorm(const BlockOutput& output, const float* norm_weight, std::byte* rounded);
  // workspace.normed_rounded where products with these weights of the normed rows read it; null else.
  std::byte* NormedFor(const AttentionWeights& weights) const;
  std::byte* NormedFor(const FeedForwardWeights& weights) const;
  std::byte* NormedFor(const LayerWeights& layer) const;  // its feed-forward
  bool ReadRounded(const kernels::PackedWeight& weight) const;

  // Reads workspace.normed and leaves this rank's part of its output in the first rows of workspace.partial.
  void Attention(const AttentionWeights& weights, void* cache, const Batch& batch);
  // From ws_.q and the cache to ws_.values: the batch's absorbed rows, then its expanded ones.
  void AttendAbsorbed(const AttentionWeights& weights, void* cache, const Batch& batch);
  void AttendExpanded(const AttentionWeights& weights, void* cache, const Batch& batch);
  void GroupedQueryAttention(const AttentionWeights& weights, void* cache, const Batch& batch);
  // Read workspace.normed.
  BlockOutput DenseFeedForward(const FeedForwardWeights& weights, int64_t rows);
  absl::StatusOr<BlockOutput> ReplicatedExperts(const MoeWeights& moe, const Batch& batch);
  absl::StatusOr<BlockOutput> AllToAllExperts(const MoeWeights& moe, const Batch& batch);

  // out (fp32) = this rank's columns of a SwiGLU feed-forward of as many normed rows.
  void FeedForward(const FeedForwardWeights& weights, const Matrix& out);
  // Chooses the experts of x's rows: workspace.expert_ids and expert_weights. Rows at and beyond *row_count,
  // if it is given, choose nobody.
  void Route(const MoeWeights& moe, const Matrix& x, const int32_t* row_count = nullptr);
  // out (fp32) = add, or zero if that has no data, and the weighted sum of this rank's part of the chosen
  // experts, in the order of choice. At most max_step_tokens rows.
  void LocalExperts(const MoeWeights& moe, const Matrix& x, const Matrix& add, const Matrix& out);

  // All-to-all. How rows travel to these experts.
  TravellingRows RowsTo(const MoeWeights& moe) const;
  // Dispatch fills workspace.dispatch_rows_to and dispatch_index, then the send buffer, of which
  // each rank has `slots` rows or, where that is 0, those that it gets. Then one of the two ways to have the
  // experts' sums: rows of workspace.returned.
  void Dispatch(const MoeWeights& moe, const Matrix& x, const kernels::RoundedRows& rounded, int64_t slots);
  int64_t SlotsAmongPeers(const Batch& batch) const;
  int64_t most_slots() const;  // that the buffers hold for each rank
  void SumsAmongPeers(const MoeWeights& moe, int64_t slots);
  absl::StatusOr<Matrix> SumsByTheCommunicator(const MoeWeights& moe);
  // The sums of the received rows, as many at a time as the expert buffers hold. slots, rows_from: as
  // UnpackDispatchArgs has them.
  void SumReceived(const MoeWeights& moe, int64_t received, int64_t slots = 0,
                   const int64_t* rows_from = nullptr);

  // Consecutive rows of a dp group, one share for each tp rank.
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
