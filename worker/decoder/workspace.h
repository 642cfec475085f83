// The decoder's scratch memory: every buffer of a step, taken once, of the sizes in sizing/step_buffers.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/api/matrix.h"
#include "sizing/step_buffers.h"

namespace deeprack::worker {

// T: most tokens of a step in a dp group; S: most tokens of a step in a stage; H: hidden_size. sizing::Buffer
// describes the other letters and when a buffer exists. "compute" means the compute type. Buffers that this
// rank never uses are empty.
struct Workspace {
  // Rotary tables [max_context, qk_rope_head_dim / 2]. The caller of CarveWorkspace fills them.
  float* rope_cos = nullptr;
  float* rope_sin = nullptr;

  kernels::Matrix residual;  // compute [T, H]
  kernels::Matrix normed;    // compute [T, H]
  // [T] rows of normed (q_a_rounded: of q_a) rounded to e4m3 (base/rounded_rows.h), for products that read
  // rounded rows. Null if the kernels have none.
  std::byte* normed_rounded = nullptr;
  kernels::Matrix partial;  // fp32 [T or S, H]: a block's output; before the exchange, this rank's part of it

  kernels::Matrix q_a;  // compute [T, q_lora_rank]
  std::byte* q_a_rounded = nullptr;
  kernels::Matrix q;         // compute [T, heads * qk_head_dim]
  kernels::Matrix kv_a;      // compute [T, kv_lora_rank + qk_rope_head_dim]
  kernels::Matrix q_latent;  // compute [T, heads * kv_lora_rank]
  kernels::Matrix attended;  // compute [T, heads * kv_lora_rank]
  kernels::Matrix values;    // compute [T, heads * v_head_dim]
  // Grouped-query attention only, which has no q_a, kv_a, q_latent and attended.
  kernels::Matrix k;  // compute [T, key-value heads * qk_head_dim]
  kernels::Matrix v;  // compute [T, key-value heads * v_head_dim]

  // Dense and shared feed-forward. width: the larger of the two widths, padded to panels.
  kernels::Matrix gate_up;     // compute [T, 2 * width]
  kernels::Matrix activated;   // compute [T, width]
  kernels::Matrix shared_out;  // fp32 [T, H]

  // Routed experts, for T tokens at a time. P = T * min(num_experts_per_tok, experts of the group).
  kernels::Matrix gathered;           // compute [S, H]: the stage's tokens (replicated experts, dp > 1)
  float* router_logits = nullptr;     // [T, n_routed_experts]
  int32_t* expert_ids = nullptr;      // [T, num_experts_per_tok]
  float* expert_weights = nullptr;    // [T, num_experts_per_tok]
  int32_t* expert_offsets = nullptr;  // [experts of the group + 1]
  int32_t* row_index = nullptr;       // [T * num_experts_per_tok]
  int32_t* pair_to_row = nullptr;     // [T * num_experts_per_tok]
  kernels::Matrix expert_gate_up;     // compute [P, 2 * expert width]
  kernels::Matrix expert_activated;   // compute [P, expert width]
  kernels::Matrix expert_out;         // fp32 [P, H]

  // All-to-all experts. A row that is sent holds activations, expert ids and weights (dispatch_row_form.h); its
  // activations take at most the bytes of H compute values. F: ranks that one token can be sent to; C: this
  // rank's share of T.
  int64_t dispatch_fanout = 0;            // F
  std::byte* dispatch_send = nullptr;     // [C * F] rows
  std::byte* dispatch_receive = nullptr;  // [S] rows
  int32_t* dispatch_index = nullptr;      // [C, F]: the sent row's place in dispatch_send; -1: unused
  int64_t* dispatch_rows_to = nullptr;    // [ranks of the stage]
  int64_t* dispatch_counts = nullptr;     // [ranks of the stage, ranks of the stage]
  float* dispatch_ones = nullptr;         // [C, F]: all 1; the caller of CarveWorkspace fills it
  kernels::Matrix expert_sums;            // fp32 [S, H]: this rank's sums for the rows it received
  kernels::Matrix returned;               // fp32 [C * F, H]
  kernels::Matrix share_out;              // fp32 [C, H]

  // The MTP layer.
  kernels::Matrix mtp_residual;  // compute [T, H]
  kernels::Matrix mtp_input;     // compute [T, 2 * H]: the normed embedding, then the normed hidden state

  // Logits, R = sizing::LogitRows rows at a time.
  kernels::Matrix head_rows;         // compute [R, H]
  kernels::Matrix logits;            // fp32 [R, vocab_size]
  kernels::Matrix logits_own;        // fp32 [R, vocabulary rows of a tp rank], tp > 1
  float* logits_gathered = nullptr;  // fp32 [tp, R, vocabulary rows of a tp rank], tp > 1
  kernels::Matrix adjusted_logits;   // fp32 [at most R, vocab_size]: copies that sampling changes
};

// Divides the memory at `base` (sizing::WorkspaceBytes bytes, aligned to kArenaAlignment) into the buffers.
Workspace CarveWorkspace(const sizing::RankSpec& spec, const kernels::KernelNeeds& kernels, std::byte* base);

}  // namespace deeprack::worker
