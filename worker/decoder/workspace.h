// The decoder's scratch memory: every buffer of a step, taken once, of the sizes in sizing/workspace.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/api/matrix.h"
#include "sizing/workspace.h"

namespace deeprack::worker {

// T: the step's most tokens; S: those of a stage; H: hidden_size; the other letters and the conditions as in
// sizing::Buffer. "compute": of the compute type. Buffers that this rank never uses are empty.
struct Workspace {
  // Rotary tables [max_context, qk_rope_head_dim / 2]; filled by whoever carves.
  float* rope_cos = nullptr;
  float* rope_sin = nullptr;

  kernels::Matrix residual;  // compute [T, H]
  kernels::Matrix normed;    // compute [T, H]
  // normed, and below q_a, once more for products that round them; null: no kernels that share that.
  std::byte* normed_rounded = nullptr;
  kernels::Matrix partial;  // fp32 [T or S, H]: a block's output, this rank's part of it until its seam

  kernels::Matrix q_a;  // compute [T, q_lora_rank]
  std::byte* q_a_rounded = nullptr;
  kernels::Matrix q;         // compute [T, heads * qk_head_dim]
  kernels::Matrix kv_a;      // compute [T, kv_lora_rank + qk_rope_head_dim]
  kernels::Matrix q_latent;  // compute [T, heads * kv_lora_rank]
  kernels::Matrix attended;  // compute [T, heads * kv_lora_rank]
  kernels::Matrix values;    // compute [T, heads * v_head_dim]
  kernels::Matrix k;         // compute [T, key-value heads * qk_head_dim], grouped-query only, as v;
  kernels::Matrix v;  // compute [T, key-value heads * v_head_dim]: then q_a, kv_a .. attended are empty

  // Dense and shared feed-forward; width is the larger of the two, padded to panels.
  kernels::Matrix gate_up;     // compute [T, 2 * width]
  kernels::Matrix activated;   // compute [T, width]
  kernels::Matrix shared_out;  // fp32 [T, H]

  // Routed experts, T tokens at a time. P = T * min(num_experts_per_tok, experts of the group).
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

  // All-to-all experts. A row travels with its expert ids and weights (travelling_rows.h), at most as H
  // compute values; F: ranks that one token can reach; C: this rank's share of T.
  int64_t dispatch_fanout = 0;            // F
  std::byte* dispatch_send = nullptr;     // [C * F] rows
  std::byte* dispatch_receive = nullptr;  // [S] rows
  int32_t* dispatch_index = nullptr;      // [C, F]: where the row was sent from, -1 beyond the last
  int64_t* dispatch_rows_to = nullptr;    // [ranks of the stage]
  int64_t* dispatch_counts = nullptr;     // [ranks of the stage, ranks of the stage]
  float* dispatch_ones = nullptr;         // [C, F]: 1, the weights of the final sum; filled by whoever carves
  kernels::Matrix expert_sums;            // fp32 [S, H]: this rank's sums for the rows it received
  kernels::Matrix returned;               // fp32 [C * F, H]
  kernels::Matrix share_out;              // fp32 [C, H]

  // Logits, R = min(T, max_sequences) rows at a time.
  kernels::Matrix head_rows;         // compute [R, H]
  kernels::Matrix logits;            // fp32 [R, vocab_size]
  kernels::Matrix logits_own;        // fp32 [R, vocabulary rows of a tp rank], tp > 1
  float* logits_gathered = nullptr;  // fp32 [tp, R, vocabulary rows of a tp rank], tp > 1
  kernels::Matrix adjusted_logits;   // fp32 [some of R, vocab_size]: rows that sampling may change
};

// Cuts `base` (sizing::WorkspaceBytes long, kArenaAlignment-aligned) into the buffers.
Workspace CarveWorkspace(const sizing::RankSpec& spec, const kernels::KernelNeeds& kernels, std::byte* base);

}  // namespace deeprack::worker
