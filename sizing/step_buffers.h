// The decoder's buffers for one step, sized by the limits of a step. The worker allocates WorkspaceBytes once
// and cuts this memory as WorkspaceBuffers says.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "kernels/api/kernel_needs.h"
#include "sizing/rank_spec.h"

namespace deeprack::sizing {

// T: limits.max_step_tokens. S: all tokens of a stage, dp * T. H: hidden_size. Shapes are [rows, cols].
// "compute": of the compute type. Without a type: fp32.
enum class Buffer : uint8_t {
  kRopeCos,  // [max_context, qk_rope_head_dim / 2], as kRopeSin: tables of the rotary embedding
  kRopeSin,
  kResidual,       // compute [T, H]
  kNormed,         // compute [T, H]
  kNormedRounded,  // bytes [1, of RoundedRowsLayoutOf(T, H)], with KernelNeeds::reads_rounded, as kQARounded
  kPartial,        // [T or S, H]: a block's output; before the sum over ranks, this rank's part of it
  kGathered,       // compute [S, H]: the stage's tokens (replicated experts, dp > 1)

  kQA,         // compute [T, q_lora_rank]
  kQARounded,  // bytes [1, of RoundedRowsLayoutOf(T, q_lora_rank)]
  kQ,          // compute [T, heads * qk_head_dim]
  kKvA,        // compute [T, kv_lora_rank + qk_rope_head_dim]
  kQLatent,    // compute [T, heads * kv_lora_rank]
  kAttended,   // compute [T, heads * kv_lora_rank]
  kK,          // compute [T, key-value heads * qk_head_dim], grouped-query only, as kV;
  kV,          // compute [T, key-value heads * v_head_dim]: then kQA, kKvA .. kAttended are absent
  kValues,     // compute [T, heads * v_head_dim]

  // Dense and shared feed-forward; width is the larger of the two, padded to panels.
  kGateUp,     // compute [T, 2 * width]
  kActivated,  // compute [T, width]
  kSharedOut,  // [T, H]

  // Routed experts, T tokens at a time. P = T * min(num_experts_per_tok, experts of the group).
  kRouterLogits,   // [T, n_routed_experts]
  kExpertIds,      // int32 [T, num_experts_per_tok], as kRowIndex and kPairToRow
  kExpertWeights,  // [T, num_experts_per_tok]
  kExpertOffsets,  // int32 [1, experts of the group + 1]
  kRowIndex,
  kPairToRow,
  kExpertGateUp,     // compute [P, 2 * expert width]
  kExpertActivated,  // compute [P, expert width]
  kExpertOut,        // [P, H]

  // All-to-all experts. A row travels as H values of the compute type, or rounded, with its expert ids and
  // weights, padded to kWeightAlignment. F: ranks that one token can reach. C: this rank's share of T.
  kDispatchSend,     // bytes [C * F, a row's]
  kDispatchReceive,  // bytes [S, a row's]
  kDispatchIndex,    // int32 [C, F]: row of kDispatchSend; -1 after a token's last one
  kDispatchRowsTo,   // int64 [1, ranks of the stage]
  kDispatchCounts,   // int64 [ranks of the stage, ranks of the stage]
  kDispatchOnes,     // [C, F]: ones, the weights of the final sum
  kExpertSums,       // [S, H]: this rank's sums for the rows it received
  kReturned,         // [C * F, H]
  kShareOut,         // [C, H]

  // The MTP layer (RankSpec::has_mtp).
  kMtpResidual,  // compute [T, H]
  kMtpInput,     // compute [T, 2 * H]: the normed embedding, then the normed hidden state

  // Last stage, R = LogitRows(spec) rows at a time.
  kHeadRows,        // compute [R, H]
  kLogits,          // [R, vocab_size]
  kLogitsOwn,       // [R, vocabulary rows of a tp rank], tp > 1
  kLogitsGathered,  // [tp * R, vocabulary rows of a tp rank], tp > 1
  kAdjustedLogits,  // [at most R, vocab_size]: copies of rows that sampling changes
};

// Rows of logits that a rank of the last stage holds at a time: one for each sequence and for each of its
// drafts, at most one for each token of a step.
int64_t LogitRows(const RankSpec& spec);

struct BufferShape {
  Buffer buffer;
  DType type = DType::kF32;  // kU8 for bytes
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t offset = 0;  // bytes from the workspace's begin, a multiple of kWeightAlignment
};

// Bytes of a row that travels between the ranks of all-to-all experts: activations, expert ids, weights. The
// buffers have room for activations of the compute type; a row may have fewer, `activation_bytes`.
int64_t DispatchRowBytes(const RankSpec& spec);
int64_t DispatchRowBytes(const model::ModelConfig& config, int64_t activation_bytes);

// The rank's buffers, in the order of their offsets.
std::vector<BufferShape> WorkspaceBuffers(const RankSpec& spec, const kernels::KernelNeeds& kernels);

// The end of the last buffer, rounded up to kWeightAlignment.
int64_t WorkspaceBytes(const RankSpec& spec, const kernels::KernelNeeds& kernels);

}  // namespace deeprack::sizing
