// The weights of one rank's pipeline stage as the decoder uses them: views into the weights' arena.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/api/packed_weight.h"

namespace deeprack::worker {

// Sizes: H hidden_size, h this rank's heads, L kv_lora_rank, n / r / v the nope, rope and value head
// dimensions.
struct AttentionWeights {
  const float* input_norm = nullptr;                  // [H]
  std::optional<kernels::PackedWeight> q_a;           // [q_lora_rank, H]; absent without q_lora
  const float* q_a_norm = nullptr;                    // [q_lora_rank]
  kernels::PackedWeight q;                            // [h * (n + r), q_lora_rank or H]
  kernels::PackedWeight kv_a;                         // [L + r, H]
  const float* kv_a_norm = nullptr;                   // [L]
  std::vector<kernels::PackedWeight> absorbed_key;    // [h] of [L, n]: queries into the latent space
  std::vector<kernels::PackedWeight> absorbed_value;  // [h] of [v, L]: attended latents into values
  // Copies of these two tables in device memory (weight_tables.h); null where kernels read host memory.
  const kernels::PackedWeight* device_absorbed_key = nullptr;
  const kernels::PackedWeight* device_absorbed_value = nullptr;
  // Grouped-query attention instead of all but q, o and the norms; g: this rank's key-value heads.
  std::optional<kernels::PackedWeight> k;  // [g * (n + r), H]
  std::optional<kernels::PackedWeight> v;  // [g * v, H]
  const float* q_bias = nullptr;           // [h * (n + r)]; null: none, as the next two
  const float* k_bias = nullptr;           // [g * (n + r)]
  const float* v_bias = nullptr;           // [g * v]
  kernels::PackedWeight o;                 // [H, h * v]
  const float* post_norm = nullptr;        // [H]
};

// SwiGLU feed-forward of this rank's `intermediate` columns.
struct FeedForwardWeights {
  int64_t intermediate = 0;
  kernels::PackedWeight gate_up;  // gate at row 0, up at row RoundUp(intermediate, kPanelRows); [.., H]
  kernels::PackedWeight down;     // [H, intermediate]
};

struct MoeWeights {
  kernels::PackedWeight router;                // [n_routed_experts, H] fp32
  const float* router_bias = nullptr;          // [n_routed_experts]
  int64_t expert_begin = 0;                    // the first expert of this rank's group
  int64_t intermediate = 0;                    // this rank's columns of each expert
  std::vector<kernels::PackedWeight> gate_up;  // [experts of the group], each as in FeedForwardWeights
  std::vector<kernels::PackedWeight> down;     // [experts of the group]
  const kernels::PackedWeight* device_gate_up = nullptr;  // as device_absorbed_key
  const kernels::PackedWeight* device_down = nullptr;
  std::optional<FeedForwardWeights> shared;  // this rank's columns of the shared experts
};

struct LayerWeights {
  AttentionWeights attention;
  std::optional<FeedForwardWeights> dense;  // exactly one of the two
  std::optional<MoeWeights> moe;
};

// The MTP layer (DeepSeek-V3, arXiv:2412.19437, section 2.2). It reads the model's embedding and head.
struct MtpWeights {
  const float* embed_norm = nullptr;   // [H]: enorm
  const float* hidden_norm = nullptr;  // [H]: hnorm
  kernels::PackedWeight proj;          // [H, 2 * H]: eh_proj; columns of the embedding, then of the hidden state
  LayerWeights layer;
  const float* head_norm = nullptr;  // [H]: shared_head.norm
};

struct StageWeights {
  // First stage, and a last stage with the MTP layer: rows [vocab_begin, vocab_begin + vocab_rows) of the embedding, row-major [vocab_rows, H].
  const void* embedding = nullptr;
  DType embedding_type = DType::kBF16;
  int64_t vocab_begin = 0;
  int64_t vocab_rows = 0;
  std::vector<LayerWeights> layers;  // of the stage
  // Last stage.
  const float* final_norm = nullptr;             // [H]
  std::optional<kernels::PackedWeight> lm_head;  // this rank's vocabulary rows
  std::optional<MtpWeights> mtp;                 // with RankSpec::has_mtp
};

}  // namespace deeprack::worker
