#include "model/budget/packed_tensors.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "model/budget/budget.h"

namespace deeprack::model {
namespace {

bool IsVector(const TensorSpec& tensor) { return tensor.shape.size() == 1; }

// The kind of the matrix that is stacked below this one; nullopt: it stands alone.
std::optional<TensorKind> StackedBelow(TensorKind kind) {
  switch (kind) {
    case TensorKind::kGateProj:
      return TensorKind::kUpProj;
    case TensorKind::kExpertGate:
      return TensorKind::kExpertUp;
    case TensorKind::kSharedGate:
      return TensorKind::kSharedUp;
    default:
      return std::nullopt;
  }
}

class Packing {
 public:
  Packing(const ModelConfig& config, const Layout& layout, Rank rank, DType compute)
      : config_(config), layout_(layout), rank_(rank), compute_(compute) {}

  // `tensors` in the registry's order: up follows gate.
  void Add(const std::vector<TensorSpec>& tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorSpec& tensor = tensors[i];
      const std::optional<Slice> slice = SliceFor(config_, tensor, layout_, rank_);
      if (const std::optional<TensorKind> below = StackedBelow(tensor.kind)) {
        DR_CHECK(i + 1 < tensors.size() && tensors[i + 1].kind == *below);
        if (slice) AddGateUp(tensor, tensors[i + 1], *slice);
        ++i;
      } else if (slice) {
        AddOne(tensor, *slice);
      }
    }
  }

  // `kind` may differ from the tensor's own: a tied head is made of the embedding.
  void AddMatrix(const TensorSpec& tensor, const Slice& slice, TensorKind kind) {
    PackedTensor packed = Begin(tensor, slice, kind, WeightForm::kPacked, LinearType(tensor));
    Finish(std::move(packed));
  }

  std::vector<PackedTensor> Take() { return std::move(packed_); }

 private:
  DType LinearType(const TensorSpec& tensor) const {
    if (tensor.kind == TensorKind::kRouter) return DType::kF32;
    return tensor.quantized && config_.quantization_config ? DType::kF8E4M3 : compute_;
  }

  static PackedTensor Begin(const TensorSpec& tensor, const Slice& slice, TensorKind kind, WeightForm form,
                            DType type) {
    return {.kind = kind,
            .form = form,
            .layer = tensor.layer,
            .expert = tensor.expert,
            .type = type,
            .rows = slice.rows,
            .cols = slice.cols,
            .col_begin = slice.col_begin,
            .parts = {{.tensor = tensor, .slice = slice}}};
  }

  void Finish(PackedTensor packed) {
    if (packed.form == WeightForm::kVector || packed.form == WeightForm::kTable) {
      const int64_t bytes = packed.rows * packed.cols * static_cast<int64_t>(SizeOf(packed.type));
      packed.value_bytes = RoundUp(bytes, kWeightAlignment);
    } else {
      packed.value_bytes = PackedValueBytes(packed.type, packed.rows, packed.cols);
      packed.scale_bytes = PackedScaleBytes(packed.type, packed.rows, packed.cols, packed.col_begin);
    }
    packed_.push_back(std::move(packed));
  }

  void AddOne(const TensorSpec& tensor, const Slice& slice) {
    if (IsVector(tensor)) {
      Finish(Begin(tensor, slice, tensor.kind, WeightForm::kVector, DType::kF32));
    } else if (tensor.kind == TensorKind::kEmbedTokens) {
      Finish(Begin(tensor, slice, tensor.kind, WeightForm::kTable, compute_));
    } else if (tensor.kind == TensorKind::kKvBProj) {
      AddAbsorbed(tensor, slice);
    } else {
      AddMatrix(tensor, slice, tensor.kind);
    }
  }

  void AddGateUp(const TensorSpec& gate, const TensorSpec& up, const Slice& slice) {
    PackedTensor packed = Begin(gate, slice, gate.kind, WeightForm::kPacked, LinearType(gate));
    const int64_t up_row = RoundUp(slice.rows, kPanelRows);
    packed.rows = up_row + slice.rows;
    packed.parts.push_back({.tensor = up, .slice = slice, .first_row = up_row});
    Finish(std::move(packed));
  }

  // Rows of kv_b: per head qk_nope_head_dim of the key, then v_head_dim of the value.
  void AddAbsorbed(const TensorSpec& kv_b, const Slice& slice) {
    const int64_t heads = config_.num_attention_heads / layout_.tp;
    PackedTensor key = Begin(kv_b, slice, kv_b.kind, WeightForm::kAbsorbedKey, compute_);
    key.count = heads;
    key.rows = config_.kv_lora_rank;
    key.cols = config_.qk_nope_head_dim;
    Finish(std::move(key));

    PackedTensor value = Begin(kv_b, slice, kv_b.kind, WeightForm::kAbsorbedValue, compute_);
    value.count = heads;
    value.rows = config_.v_head_dim;
    value.cols = config_.kv_lora_rank;
    Finish(std::move(value));
  }

  const ModelConfig& config_;
  const Layout& layout_;
  const Rank rank_;
  const DType compute_;
  std::vector<PackedTensor> packed_;
};

}  // namespace

std::vector<PackedTensor> PackedTensorsOf(const ModelConfig& config, const Layout& layout, Rank rank,
                                          DType compute) {
  DR_CHECK(compute == DType::kBF16 || compute == DType::kF32);
  const int32_t stage = CoordinatesOf(layout, rank).pp_rank;
  const auto [first_layer, end_layer] = LayersOfStage(config, layout, stage);
  Packing packing(config, layout, rank, compute);

  std::vector<TensorSpec> after_layers;
  for (TensorSpec& tensor : TopTensors(config)) {
    if (tensor.kind != TensorKind::kEmbedTokens) {
      after_layers.push_back(std::move(tensor));
      continue;
    }
    if (stage == 0) packing.Add({tensor});
    if (config.tie_word_embeddings) after_layers.push_back(std::move(tensor));
  }

  for (int64_t layer = first_layer; layer < end_layer; ++layer) packing.Add(LayerTensors(config, layer));

  for (const TensorSpec& tensor : after_layers) {
    if (tensor.kind != TensorKind::kEmbedTokens) {
      packing.Add({tensor});
    } else if (stage == layout.pp - 1) {
      packing.AddMatrix(tensor, *SliceFor(config, tensor, layout, rank), TensorKind::kLmHead);
    }
  }
  return packing.Take();
}

}  // namespace deeprack::model
