#include "model/tensors/tensor_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace deeprack::model {
namespace {

// Appends tensors under one name prefix.
class Table {
 public:
  Table(std::string prefix, int64_t layer) : prefix_(std::move(prefix)), layer_(layer) {}

  void Add(const std::string& name, TensorKind kind, std::vector<int64_t> shape, ShardRole role) {
    tensors_.push_back({.name = absl::StrCat(prefix_, name),
                        .kind = kind,
                        .shape = std::move(shape),
                        .role = role,
                        .layer = layer_});
  }

  // Appends a weight that fp8 checkpoints store quantised.
  void AddLinear(const std::string& name, TensorKind kind, int64_t rows, int64_t cols, ShardRole role,
                 int64_t expert = -1) {
    Add(name, kind, {rows, cols}, role);
    tensors_.back().quantized = true;
    tensors_.back().expert = expert;
  }

  std::vector<TensorSpec> Take() { return std::move(tensors_); }

 private:
  std::string prefix_;
  int64_t layer_;
  std::vector<TensorSpec> tensors_;
};

void AddLatentAttention(const ModelConfig& c, Table* table) {
  const int64_t heads = c.num_attention_heads;
  const int64_t query_rows = heads * c.qk_head_dim();
  if (c.q_lora_rank) {
    table->AddLinear("self_attn.q_a_proj.weight", TensorKind::kQAProj, *c.q_lora_rank, c.hidden_size,
                     ShardRole::kReplicated);
    table->Add("self_attn.q_a_layernorm.weight", TensorKind::kQANorm, {*c.q_lora_rank},
               ShardRole::kReplicated);
    table->AddLinear("self_attn.q_b_proj.weight", TensorKind::kQBProj, query_rows, *c.q_lora_rank,
                     ShardRole::kHeadRows);
  } else {
    table->AddLinear("self_attn.q_proj.weight", TensorKind::kQProj, query_rows, c.hidden_size,
                     ShardRole::kHeadRows);
  }
  table->AddLinear("self_attn.kv_a_proj_with_mqa.weight", TensorKind::kKvAProj,
                   c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size, ShardRole::kReplicated);
  table->Add("self_attn.kv_a_layernorm.weight", TensorKind::kKvANorm, {c.kv_lora_rank},
             ShardRole::kReplicated);
  if (c.split_kv_b) {  // by head; the key's part is transposed
    table->AddLinear("self_attn.k_b_proj.weight", TensorKind::kKBProj, heads * c.kv_lora_rank,
                     c.qk_nope_head_dim, ShardRole::kHeadRows);
    table->AddLinear("self_attn.v_b_proj.weight", TensorKind::kVBProj, heads * c.v_head_dim, c.kv_lora_rank,
                     ShardRole::kHeadRows);
  } else {
    table->AddLinear("self_attn.kv_b_proj.weight", TensorKind::kKvBProj,
                     heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank, ShardRole::kHeadRows);
  }
  table->AddLinear("self_attn.o_proj.weight", TensorKind::kOProj, c.hidden_size, heads * c.v_head_dim,
                   ShardRole::kHeadCols);
}

// llama and qwen2.
void AddGroupedQueryAttention(const ModelConfig& c, Table* table) {
  const int64_t query_rows = c.num_attention_heads * c.qk_head_dim();
  const int64_t key_rows = c.num_key_value_heads * c.qk_head_dim();
  const int64_t value_rows = c.num_key_value_heads * c.v_head_dim;
  const ShardRole kv_rows = ShardRole::kKeyValueHeadRows;
  table->AddLinear("self_attn.q_proj.weight", TensorKind::kQProj, query_rows, c.hidden_size,
                   ShardRole::kHeadRows);
  table->AddLinear("self_attn.k_proj.weight", TensorKind::kKProj, key_rows, c.hidden_size, kv_rows);
  table->AddLinear("self_attn.v_proj.weight", TensorKind::kVProj, value_rows, c.hidden_size, kv_rows);
  if (c.attention_bias) {
    table->Add("self_attn.q_proj.bias", TensorKind::kQBias, {query_rows}, ShardRole::kHeadRows);
    table->Add("self_attn.k_proj.bias", TensorKind::kKBias, {key_rows}, kv_rows);
    table->Add("self_attn.v_proj.bias", TensorKind::kVBias, {value_rows}, kv_rows);
  }
  table->AddLinear("self_attn.o_proj.weight", TensorKind::kOProj, c.hidden_size,
                   c.num_attention_heads * c.v_head_dim, ShardRole::kHeadCols);
}

void AddDenseFeedForward(const ModelConfig& c, Table* table) {
  const int64_t width = c.intermediate_size;
  table->AddLinear("mlp.gate_proj.weight", TensorKind::kGateProj, width, c.hidden_size,
                   ShardRole::kIntermediateRows);
  table->AddLinear("mlp.up_proj.weight", TensorKind::kUpProj, width, c.hidden_size,
                   ShardRole::kIntermediateRows);
  table->AddLinear("mlp.down_proj.weight", TensorKind::kDownProj, c.hidden_size, width,
                   ShardRole::kIntermediateCols);
}

void AddMixtureOfExperts(const ModelConfig& c, Table* table) {
  table->Add("mlp.gate.weight", TensorKind::kRouter, {c.n_routed_experts, c.hidden_size},
             ShardRole::kReplicated);
  table->Add("mlp.gate.e_score_correction_bias", TensorKind::kRouterBias, {c.n_routed_experts},
             ShardRole::kReplicated);
  const int64_t width = c.moe_intermediate_size;
  for (int64_t expert = 0; expert < c.n_routed_experts; ++expert) {
    const std::string prefix = absl::StrCat("mlp.experts.", expert);
    table->AddLinear(prefix + ".gate_proj.weight", TensorKind::kExpertGate, width, c.hidden_size,
                     ShardRole::kExpertRows, expert);
    table->AddLinear(prefix + ".up_proj.weight", TensorKind::kExpertUp, width, c.hidden_size,
                     ShardRole::kExpertRows, expert);
    table->AddLinear(prefix + ".down_proj.weight", TensorKind::kExpertDown, c.hidden_size, width,
                     ShardRole::kExpertCols, expert);
  }
  if (c.n_shared_experts >
      0) {  // stored as one feed-forward of width n_shared_experts * moe_intermediate_size
    const int64_t shared = c.n_shared_experts * width;
    table->AddLinear("mlp.shared_experts.gate_proj.weight", TensorKind::kSharedGate, shared, c.hidden_size,
                     ShardRole::kIntermediateRows);
    table->AddLinear("mlp.shared_experts.up_proj.weight", TensorKind::kSharedUp, shared, c.hidden_size,
                     ShardRole::kIntermediateRows);
    table->AddLinear("mlp.shared_experts.down_proj.weight", TensorKind::kSharedDown, c.hidden_size, shared,
                     ShardRole::kIntermediateCols);
  }
}

void AddMtpParts(const ModelConfig& c, Table* table) {
  table->Add("embed_tokens.weight", TensorKind::kMtpEmbedTokens, {c.vocab_size, c.hidden_size},
             ShardRole::kVocabRows);
  table->Add("enorm.weight", TensorKind::kMtpEmbedNorm, {c.hidden_size}, ShardRole::kReplicated);
  table->Add("hnorm.weight", TensorKind::kMtpHiddenNorm, {c.hidden_size}, ShardRole::kReplicated);
  table->Add("eh_proj.weight", TensorKind::kMtpProj, {c.hidden_size, 2 * c.hidden_size},
             ShardRole::kReplicated);
  table->Add("shared_head.norm.weight", TensorKind::kMtpHeadNorm, {c.hidden_size}, ShardRole::kReplicated);
  table->Add("shared_head.head.weight", TensorKind::kMtpHead, {c.vocab_size, c.hidden_size},
             ShardRole::kVocabRows);
}

}  // namespace

std::vector<TensorSpec> TopTensors(const ModelConfig& config) {
  Table table("", -1);
  table.Add("model.embed_tokens.weight", TensorKind::kEmbedTokens, {config.vocab_size, config.hidden_size},
            ShardRole::kVocabRows);
  table.Add("model.norm.weight", TensorKind::kFinalNorm, {config.hidden_size}, ShardRole::kReplicated);
  if (!config.tie_word_embeddings) {
    table.Add("lm_head.weight", TensorKind::kLmHead, {config.vocab_size, config.hidden_size},
              ShardRole::kVocabRows);
  }
  return table.Take();
}

std::vector<TensorSpec> LayerTensors(const ModelConfig& config, int64_t layer) {
  DR_CHECK(layer >= 0 && layer < config.num_hidden_layers + config.num_nextn_predict_layers);
  Table table(absl::StrCat("model.layers.", layer, "."), layer);
  if (layer >= config.num_hidden_layers) AddMtpParts(config, &table);
  table.Add("input_layernorm.weight", TensorKind::kInputNorm, {config.hidden_size}, ShardRole::kReplicated);
  if (config.has_latent_attention()) {
    AddLatentAttention(config, &table);
  } else {
    AddGroupedQueryAttention(config, &table);
  }
  table.Add("post_attention_layernorm.weight", TensorKind::kPostAttentionNorm, {config.hidden_size},
            ShardRole::kReplicated);
  if (config.is_moe_layer(layer)) {
    AddMixtureOfExperts(config, &table);
  } else {
    AddDenseFeedForward(config, &table);
  }
  return table.Take();
}

std::vector<TensorSpec> TensorsOf(const ModelConfig& config) {
  std::vector<TensorSpec> tensors = TopTensors(config);
  for (int64_t layer = 0; layer < config.num_hidden_layers + config.num_nextn_predict_layers; ++layer) {
    for (TensorSpec& tensor : LayerTensors(config, layer)) tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace deeprack::model
