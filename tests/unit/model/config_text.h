// A config as text, field by field, so that two configs can be compared and a difference can be read.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/config/model_config.h"

namespace deeprack::model {

inline std::string ConfigText(const ModelConfig& c) {
  std::string rope = "none";
  if (c.rope_scaling) {
    const YarnScaling& y = *c.rope_scaling;
    rope = absl::StrCat("yarn ", y.factor, " ", y.original_max_position_embeddings, " ", y.beta_fast, " ",
                        y.beta_slow, " ", y.mscale, " ", y.mscale_all_dim);
  }
  if (c.llama3_rope_scaling) {
    const Llama3RopeScaling& l = *c.llama3_rope_scaling;
    rope = absl::StrCat("llama3 ", l.factor, " ", l.low_freq_factor, " ", l.high_freq_factor, " ",
                        l.original_max_position_embeddings);
  }
  return absl::StrCat(
      "model_type ", c.model_type, "\nhidden_size ", c.hidden_size, "\nnum_hidden_layers ",
      c.num_hidden_layers, "\nvocab_size ", c.vocab_size, "\nmax_position_embeddings ",
      c.max_position_embeddings, "\nrms_norm_eps ", c.rms_norm_eps, "\nrope_theta ", c.rope_theta,
      "\nrope_scaling ", rope, "\nrope_freqs ", absl::StrJoin(c.rope_freqs, " "), "\nrope_interleave ",
      c.rope_interleave, "\ntie_word_embeddings ", c.tie_word_embeddings, "\nattention_bias ",
      c.attention_bias, "\nnum_attention_heads ", c.num_attention_heads, "\nnum_key_value_heads ",
      c.num_key_value_heads, "\nq_lora_rank ", c.q_lora_rank.value_or(-1), "\nkv_lora_rank ", c.kv_lora_rank,
      "\nqk_nope_head_dim ", c.qk_nope_head_dim, "\nqk_rope_head_dim ", c.qk_rope_head_dim, "\nv_head_dim ",
      c.v_head_dim, "\nsplit_kv_b ", c.split_kv_b, "\nintermediate_size ", c.intermediate_size,
      "\nmoe_intermediate_size ", c.moe_intermediate_size, "\nfirst_k_dense_replace ",
      c.first_k_dense_replace, "\nn_routed_experts ", c.n_routed_experts, "\nn_shared_experts ",
      c.n_shared_experts, "\nnum_experts_per_tok ", c.num_experts_per_tok, "\nn_group ", c.n_group,
      "\ntopk_group ", c.topk_group, "\nnorm_topk_prob ", c.norm_topk_prob, "\nrouted_scaling_factor ",
      c.routed_scaling_factor, "\nnum_nextn_predict_layers ", c.num_nextn_predict_layers,
      "\nquantization_config ", c.quantization_config.has_value(), "\neos_token_id ",
      absl::StrJoin(c.eos_token_id, " "), "\nbos_token_id ", c.bos_token_id, "\n");
}

}  // namespace deeprack::model
