#include "model/gguf/gguf_tensor_names.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/message_text.h"

namespace deeprack::model {
namespace {

// A GGUF tensor that holds several tensors of a layer. This one is rows [first_row, first_row + rows) of the
// `all_rows` rows of each expert.
struct Fused {
  const char* name;
  int64_t first_row;
  int64_t all_rows;
};

std::optional<Fused> FusedPlace(const ModelConfig& c, TensorKind kind) {
  const int64_t query = c.num_attention_heads * c.qk_head_dim();
  const int64_t key = c.num_key_value_heads * c.qk_head_dim();
  const int64_t all = query + key + c.num_key_value_heads * c.v_head_dim;
  const int64_t width = c.moe_intermediate_size;
  switch (kind) {
    case TensorKind::kExpertGate:
      return Fused{"ffn_gate_up_exps.weight", 0, 2 * width};
    case TensorKind::kExpertUp:
      return Fused{"ffn_gate_up_exps.weight", width, 2 * width};
    case TensorKind::kQProj:
      return Fused{"attn_qkv.weight", 0, all};
    case TensorKind::kKProj:
      return Fused{"attn_qkv.weight", query, all};
    case TensorKind::kVProj:
      return Fused{"attn_qkv.weight", query + key, all};
    case TensorKind::kQBias:
      return Fused{"attn_qkv.bias", 0, all};
    case TensorKind::kKBias:
      return Fused{"attn_qkv.bias", query, all};
    case TensorKind::kVBias:
      return Fused{"attn_qkv.bias", query + key, all};
    default:
      return std::nullopt;
  }
}

// The place of `spec` in a GGUF tensor of `experts` times `all_rows` rows with the columns of `spec`.
absl::StatusOr<GgufPlace> PartOf(const GgufModel& model, const GgufTensor& tensor, const TensorSpec& spec,
                                 int64_t experts, int64_t all_rows, int64_t first_row) {
  const int64_t cols = spec.shape.size() > 1 ? spec.shape[1] : 1;
  std::vector<int64_t> expected = {all_rows};
  if (spec.shape.size() > 1) expected.push_back(cols);
  if (spec.expert >= 0) expected.insert(expected.begin(), experts);
  if (tensor.shape != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat(model.FileOf(tensor), ": tensor ", QuotedName(tensor.name), " has shape ",
                     ShapeText(tensor.shape), ", expected ", ShapeText(expected),
                     " from the metadata: metadata and tensor are of different models"));
  }
  const int64_t expert = spec.expert >= 0 ? spec.expert : 0;
  return GgufPlace{
      .tensor = &tensor, .is_part = true, .first_element = (expert * all_rows + first_row) * cols};
}

// N of a name blk.N.PART; nullopt: another name.
std::optional<int64_t> LayerOf(const std::string& name) {
  if (!absl::StartsWith(name, "blk.")) return std::nullopt;
  const size_t end = name.find('.', 4);
  int64_t layer = 0;
  if (end == std::string::npos || !absl::SimpleAtoi(name.substr(4, end - 4), &layer)) return std::nullopt;
  return layer;
}

}  // namespace

const char* GgufTensorName(TensorKind kind) {
  switch (kind) {
    case TensorKind::kEmbedTokens:
      return "token_embd.weight";
    case TensorKind::kFinalNorm:
      return "output_norm.weight";
    case TensorKind::kLmHead:
      return "output.weight";
    case TensorKind::kInputNorm:
      return "attn_norm.weight";
    case TensorKind::kPostAttentionNorm:
      return "ffn_norm.weight";
    case TensorKind::kQProj:
      return "attn_q.weight";
    case TensorKind::kKProj:
      return "attn_k.weight";
    case TensorKind::kVProj:
      return "attn_v.weight";
    case TensorKind::kQBias:
      return "attn_q.bias";
    case TensorKind::kKBias:
      return "attn_k.bias";
    case TensorKind::kVBias:
      return "attn_v.bias";
    case TensorKind::kQAProj:
      return "attn_q_a.weight";
    case TensorKind::kQANorm:
      return "attn_q_a_norm.weight";
    case TensorKind::kQBProj:
      return "attn_q_b.weight";
    case TensorKind::kKvAProj:
      return "attn_kv_a_mqa.weight";
    case TensorKind::kKvANorm:
      return "attn_kv_a_norm.weight";
    case TensorKind::kKvBProj:
      return "attn_kv_b.weight";
    case TensorKind::kKBProj:
      return "attn_k_b.weight";
    case TensorKind::kVBProj:
      return "attn_v_b.weight";
    case TensorKind::kOProj:
      return "attn_output.weight";
    case TensorKind::kGateProj:
      return "ffn_gate.weight";
    case TensorKind::kUpProj:
      return "ffn_up.weight";
    case TensorKind::kDownProj:
      return "ffn_down.weight";
    case TensorKind::kRouter:
      return "ffn_gate_inp.weight";
    case TensorKind::kRouterBias:
      return "exp_probs_b.bias";
    case TensorKind::kExpertGate:
      return "ffn_gate_exps.weight";
    case TensorKind::kExpertUp:
      return "ffn_up_exps.weight";
    case TensorKind::kExpertDown:
      return "ffn_down_exps.weight";
    case TensorKind::kSharedGate:
      return "ffn_gate_shexp.weight";
    case TensorKind::kSharedUp:
      return "ffn_up_shexp.weight";
    case TensorKind::kSharedDown:
      return "ffn_down_shexp.weight";
    case TensorKind::kMtpEmbedNorm:
      return "nextn.enorm.weight";
    case TensorKind::kMtpHiddenNorm:
      return "nextn.hnorm.weight";
    case TensorKind::kMtpProj:
      return "nextn.eh_proj.weight";
    case TensorKind::kMtpHeadNorm:
      return "nextn.shared_head_norm.weight";
    case TensorKind::kMtpEmbedTokens:
      return "nextn.embed_tokens.weight";
    case TensorKind::kMtpHead:
      return "nextn.shared_head_head.weight";
    default:
      return nullptr;
  }
}

absl::StatusOr<GgufPlace> PlaceInGguf(const GgufModel& model, const ModelConfig& config,
                                      const TensorSpec& spec) {
  const std::string layer = spec.layer >= 0 ? absl::StrCat("blk.", spec.layer, ".") : "";
  const char* name = GgufTensorName(spec.kind);
  const GgufTensor* tensor = name == nullptr ? nullptr : model.FindTensor(layer + name);
  if (tensor != nullptr) {
    if (spec.expert < 0) return GgufPlace{.tensor = tensor};
    return PartOf(model, *tensor, spec, config.n_routed_experts, spec.shape[0], 0);
  }
  const std::optional<Fused> fused = FusedPlace(config, spec.kind);
  if (fused) tensor = model.FindTensor(layer + fused->name);
  if (tensor == nullptr) return GgufPlace{};
  return PartOf(model, *tensor, spec, config.n_routed_experts, fused->all_rows, fused->first_row);
}

bool IsOfMtpLayer(const GgufTensor& tensor, const ModelConfig& config) {
  return LayerOf(tensor.name).value_or(-1) >= config.num_hidden_layers;
}

bool MayBeIgnored(const GgufTensor& tensor, const ModelConfig& config) {
  if (tensor.name == "rope_freqs.weight" || IsOfMtpLayer(tensor, config)) return true;
  if (!LayerOf(tensor.name)) return false;
  return !config.split_kv_b &&
         (absl::EndsWith(tensor.name, ".attn_k_b.weight") || absl::EndsWith(tensor.name, ".attn_v_b.weight"));
}

}  // namespace deeprack::model
