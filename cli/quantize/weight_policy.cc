#include "cli/quantize/weight_policy.h"

#include <algorithm>

#include "base/block_formats.h"

namespace deeprack::cli {
namespace {

using model::ModelConfig;
using model::TensorKind;
using model::TensorSpec;

// The layers in which values and down projections get the `wider` type.
enum class WiderLayers { kNone, kFirstSixteenth, kFirstEighth, kBothEndsAndEveryThird };

struct Mixture {
  DType base;
  DType down, value, attention_output;
  WiderLayers where;
  DType wider;        // the type of `down` and `value` in the layers `where`
  DType output;       // the type of the head
  DType every_token;  // in a mixture of experts: the type of the weights that every token uses
  DType latent;       // the type of kv_a and kv_b
};

Mixture Uniform(DType type) { return {type, type, type, type, WiderLayers::kNone, type, type, type, type}; }

Mixture MixtureOf(QuantType type) {
  using enum DType;
  using enum WiderLayers;
  switch (type) {
    case QuantType::kF16:
      return Uniform(kF16);
    case QuantType::kBF16:
      return Uniform(kBF16);
    case QuantType::kQ8_0:
      return Uniform(kQ8_0);
    case QuantType::kQ6K:
      return {kQ6K, kQ6K, kQ6K, kQ6K, kNone, kQ6K, kQ6K, kQ8_0, kQ8_0};
    case QuantType::kQ5KM:
      return {kQ5K, kQ5K, kQ5K, kQ5K, kBothEndsAndEveryThird, kQ6K, kQ6K, kQ8_0, kQ8_0};
    case QuantType::kQ5KS:
      return {kQ5K, kQ5K, kQ5K, kQ5K, kNone, kQ5K, kQ6K, kQ6K, kQ8_0};
    case QuantType::kQ4KM:
      return {kQ4K, kQ4K, kQ4K, kQ4K, kBothEndsAndEveryThird, kQ6K, kQ6K, kQ6K, kQ8_0};
    case QuantType::kQ4KS:
      return {kQ4K, kQ4K, kQ4K, kQ4K, kFirstEighth, kQ5K, kQ6K, kQ6K, kQ8_0};
    case QuantType::kQ3KL:
      return {kQ3K, kQ5K, kQ5K, kQ5K, kNone, kQ5K, kQ6K, kQ6K, kQ8_0};
    case QuantType::kQ3KM:
      return {kQ3K, kQ4K, kQ4K, kQ4K, kFirstSixteenth, kQ5K, kQ6K, kQ5K, kQ8_0};
    case QuantType::kQ3KS:
      return {kQ3K, kQ3K, kQ3K, kQ3K, kNone, kQ3K, kQ6K, kQ5K, kQ8_0};
    case QuantType::kQ2K:
      return {kQ2K, kQ3K, kQ4K, kQ3K, kNone, kQ3K, kQ6K, kQ5K, kQ8_0};
    case QuantType::kQ2KS:
      return {kQ2K, kQ2K, kQ4K, kQ2K, kFirstEighth, kQ4K, kQ6K, kQ4K, kQ8_0};
  }
  return Uniform(kF16);
}

bool IsWiderLayer(WiderLayers where, int64_t layer, int64_t layers) {
  switch (where) {
    case WiderLayers::kNone:
      return false;
    case WiderLayers::kFirstSixteenth:
      return layer < layers / 16;
    case WiderLayers::kFirstEighth:
      return layer < layers / 8;
    case WiderLayers::kBothEndsAndEveryThird:
      return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
  }
  return false;
}

}  // namespace

DType WeightType(const ModelConfig& config, const TensorSpec& spec, QuantType type) {
  const Mixture mixture = MixtureOf(type);
  const bool has_experts = config.n_routed_experts > 0;
  const bool wider = IsWiderLayer(mixture.where, spec.layer, config.num_hidden_layers);
  // In a mixture of experts, the type of the weights that every token uses; otherwise `dense`.
  const auto unless_experts = [&](DType dense) { return has_experts ? mixture.every_token : dense; };
  switch (spec.kind) {
    case TensorKind::kFinalNorm:
    case TensorKind::kInputNorm:
    case TensorKind::kPostAttentionNorm:
    case TensorKind::kQANorm:
    case TensorKind::kKvANorm:
    case TensorKind::kQBias:
    case TensorKind::kKBias:
    case TensorKind::kVBias:
    case TensorKind::kRouter:
    case TensorKind::kRouterBias:
    case TensorKind::kMtpEmbedNorm:
    case TensorKind::kMtpHiddenNorm:
    case TensorKind::kMtpHeadNorm:
      return DType::kF32;

    case TensorKind::kEmbedTokens:
    case TensorKind::kMtpEmbedTokens:
      return config.tie_word_embeddings ? mixture.output : unless_experts(mixture.base);
    case TensorKind::kLmHead:
    case TensorKind::kMtpHead:
      return has_experts && mixture.every_token == DType::kQ8_0 ? DType::kQ8_0 : mixture.output;

    case TensorKind::kKvAProj:
    case TensorKind::kKvBProj:
    case TensorKind::kKBProj:
    case TensorKind::kVBProj:
      return mixture.latent;
    case TensorKind::kVProj:
      return unless_experts(wider ? mixture.wider : mixture.value);
    case TensorKind::kOProj:
      return unless_experts(mixture.attention_output);
    case TensorKind::kQProj:
    case TensorKind::kQAProj:
    case TensorKind::kQBProj:
    case TensorKind::kKProj:
    case TensorKind::kMtpProj:
    case TensorKind::kGateProj:
    case TensorKind::kUpProj:
    case TensorKind::kSharedGate:
    case TensorKind::kSharedUp:
      return unless_experts(mixture.base);
    case TensorKind::kDownProj:
    case TensorKind::kSharedDown:
      return unless_experts(wider ? mixture.wider : mixture.down);

    case TensorKind::kExpertGate:
    case TensorKind::kExpertUp:
      return mixture.base;
    case TensorKind::kExpertDown:
      return wider ? mixture.wider : mixture.down;
  }
  return DType::kF32;
}

bool InFolderPolicy(const ModelConfig& config, const TensorSpec& spec, DType type) {
  if (!spec.quantized) return false;
  if (type == DType::kInt8G128) return true;
  return spec.shape[1] % BlockElements(type) == 0 && (config.n_routed_experts == 0 || spec.expert >= 0);
}

DType FitToRow(DType type, int64_t cols) {
  if (cols % BlockElements(type) == 0) return type;
  DType shorter = DType::kF16;
  switch (type) {
    case DType::kQ2K:
    case DType::kQ3K:
      shorter = DType::kQ4_0;
      break;
    case DType::kQ4K:
      shorter = DType::kQ5_0;
      break;
    case DType::kQ5K:
      shorter = DType::kQ5_1;
      break;
    case DType::kQ6K:
      shorter = DType::kQ8_0;
      break;
    default:
      break;
  }
  return cols % BlockElements(shorter) == 0 ? shorter : DType::kF16;
}

}  // namespace deeprack::cli
