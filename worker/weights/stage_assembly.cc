#include "worker/weights/stage_assembly.h"

#include "base/check.h"

namespace deeprack::worker {
namespace {

using kernels::PackedWeight;
using model::TensorKind;
using sizing::PackedTensor;

PackedWeight Packed(const PackedTensor& tensor, const std::byte* memory, int64_t index = 0) {
  const std::byte* values = memory + index * (tensor.value_bytes + tensor.scale_bytes);
  const bool scaled = tensor.scale_bytes > 0;
  return {.data = values,
          .scales = scaled ? reinterpret_cast<const float*>(values + tensor.value_bytes) : nullptr,
          .type = tensor.type,
          .n = tensor.rows,
          .k = tensor.cols,
          .k_block_offset = scaled ? tensor.col_begin % kScaleBlock : 0,
          .layout = tensor.layout};
}

std::vector<PackedWeight> PackedHeads(const PackedTensor& tensor, const std::byte* memory) {
  std::vector<PackedWeight> heads;
  for (int64_t head = 0; head < tensor.count; ++head) heads.push_back(Packed(tensor, memory, head));
  return heads;
}

const float* Vector(const std::byte* memory) { return reinterpret_cast<const float*>(memory); }

// Returns true if the tensor is one that only the MTP layer has.
bool PlaceMtpTensor(const PackedTensor& tensor, const std::byte* memory, StageWeights& weights) {
  if (!weights.mtp) weights.mtp.emplace();
  switch (tensor.kind) {
    case TensorKind::kMtpEmbedNorm:
      weights.mtp->embed_norm = Vector(memory);
      return true;
    case TensorKind::kMtpHiddenNorm:
      weights.mtp->hidden_norm = Vector(memory);
      return true;
    case TensorKind::kMtpProj:
      weights.mtp->proj = Packed(tensor, memory);
      return true;
    case TensorKind::kMtpHeadNorm:
      weights.mtp->head_norm = Vector(memory);
      return true;
    default:
      return false;
  }
}

LayerWeights& LayerOf(const model::ModelConfig& config, int64_t layer, int64_t first_layer,
                      StageWeights& weights) {
  if (layer >= config.num_hidden_layers) return weights.mtp->layer;
  const size_t index = static_cast<size_t>(layer - first_layer);
  if (index >= weights.layers.size()) weights.layers.resize(index + 1);
  return weights.layers[index];
}

// Adds one tensor, at `memory`, to `weights`. Call in the order of the manifest. `first_layer` is the
// stage's.
void PlaceTensor(const model::ModelConfig& config, const PackedTensor& tensor, const std::byte* memory,
                 int64_t first_layer, StageWeights& weights) {
  if (tensor.layer < 0 || tensor.kind == TensorKind::kLmHead) {
    switch (tensor.kind) {
      case TensorKind::kEmbedTokens:
        weights.embedding = memory;
        weights.embedding_type = tensor.type;
        weights.vocab_begin = tensor.parts[0].slice.row_begin;
        weights.vocab_rows = tensor.rows;
        return;
      case TensorKind::kFinalNorm:
        weights.final_norm = Vector(memory);
        return;
      case TensorKind::kLmHead:
        weights.lm_head = Packed(tensor, memory);
        return;
      default:
        DR_CHECK(!"a tensor outside the layers that the decoder does not know");
    }
  }

  if (tensor.layer >= config.num_hidden_layers && PlaceMtpTensor(tensor, memory, weights)) return;
  LayerWeights& layer = LayerOf(config, tensor.layer, first_layer, weights);
  AttentionWeights& attention = layer.attention;
  if (config.is_moe_layer(tensor.layer)) {
    if (!layer.moe) layer.moe.emplace();
  } else if (!layer.dense) {
    layer.dense.emplace();
  }

  switch (tensor.kind) {
    case TensorKind::kInputNorm:
      attention.input_norm = Vector(memory);
      break;
    case TensorKind::kPostAttentionNorm:
      attention.post_norm = Vector(memory);
      break;
    case TensorKind::kQAProj:
      attention.q_a = Packed(tensor, memory);
      break;
    case TensorKind::kQANorm:
      attention.q_a_norm = Vector(memory);
      break;
    case TensorKind::kQProj:
    case TensorKind::kQBProj:
      attention.q = Packed(tensor, memory);
      break;
    case TensorKind::kKvAProj:
      attention.kv_a = Packed(tensor, memory);
      break;
    case TensorKind::kKvANorm:
      attention.kv_a_norm = Vector(memory);
      break;
    case TensorKind::kKvBProj:
      (tensor.form == sizing::WeightForm::kAbsorbedKey ? attention.absorbed_key : attention.absorbed_value) =
          PackedHeads(tensor, memory);
      break;
    case TensorKind::kKProj:
      attention.k = Packed(tensor, memory);
      break;
    case TensorKind::kVProj:
      attention.v = Packed(tensor, memory);
      break;
    case TensorKind::kQBias:
      attention.q_bias = Vector(memory);
      break;
    case TensorKind::kKBias:
      attention.k_bias = Vector(memory);
      break;
    case TensorKind::kVBias:
      attention.v_bias = Vector(memory);
      break;
    case TensorKind::kOProj:
      attention.o = Packed(tensor, memory);
      break;
    case TensorKind::kGateProj:
      layer.dense->intermediate = tensor.parts[0].slice.rows;
      layer.dense->gate_up = Packed(tensor, memory);
      break;
    case TensorKind::kDownProj:
      layer.dense->down = Packed(tensor, memory);
      break;
    case TensorKind::kRouter:
      layer.moe->router = Packed(tensor, memory);
      break;
    case TensorKind::kRouterBias:
      layer.moe->router_bias = Vector(memory);
      break;
    case TensorKind::kExpertGate:
      if (layer.moe->gate_up.empty()) layer.moe->expert_begin = tensor.expert;
      layer.moe->intermediate = tensor.parts[0].slice.rows;
      layer.moe->gate_up.push_back(Packed(tensor, memory));
      break;
    case TensorKind::kExpertDown:
      layer.moe->down.push_back(Packed(tensor, memory));
      break;
    case TensorKind::kSharedGate:
      layer.moe->shared.emplace();
      layer.moe->shared->intermediate = tensor.parts[0].slice.rows;
      layer.moe->shared->gate_up = Packed(tensor, memory);
      break;
    case TensorKind::kSharedDown:
      layer.moe->shared->down = Packed(tensor, memory);
      break;
    default:
      DR_CHECK(!"a layer's tensor that the decoder does not know");
  }
}

}  // namespace

StageWeights AssembleStage(const sizing::RankSpec& spec, const sizing::WeightManifest& manifest,
                           const std::byte* memory) {
  StageWeights weights;
  const int64_t first_layer = spec.layers().first;
  for (const PackedTensor& tensor : manifest.tensors) {
    PlaceTensor(spec.config, tensor, memory + tensor.offset, first_layer, weights);
  }
  return weights;
}

}  // namespace deeprack::worker
