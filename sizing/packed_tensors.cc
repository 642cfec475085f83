#include "sizing/packed_tensors.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/weight_geometry.h"

namespace deeprack::sizing {
namespace {

bool IsVector(const model::TensorSpec& tensor) { return tensor.shape.size() == 1; }

// The kind of the matrix that is stacked below this one; nullopt: it stands alone.
std::optional<model::TensorKind> StackedBelow(model::TensorKind kind) {
  switch (kind) {
    case model::TensorKind::kGateProj:
      return model::TensorKind::kUpProj;
    case model::TensorKind::kExpertGate:
      return model::TensorKind::kExpertUp;
    case model::TensorKind::kSharedGate:
      return model::TensorKind::kSharedUp;
    default:
      return std::nullopt;
  }
}

class Packing {
 public:
  Packing(const model::ModelConfig& config, const model::Layout& layout, Rank rank, DType compute,
          const model::TensorTypes& types, const RowMajorTypes& row_major)
      : config_(config),
        layout_(layout),
        rank_(rank),
        compute_(compute),
        types_(types),
        row_major_(row_major) {}

  // `tensors` in the registry's order: up follows gate.
  void Add(const std::vector<model::TensorSpec>& tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      const model::TensorSpec& tensor = tensors[i];
      const std::optional<model::Slice> slice = model::SliceFor(config_, tensor, layout_, rank_);
      if (const std::optional<model::TensorKind> below = StackedBelow(tensor.kind)) {
        DR_CHECK(i + 1 < tensors.size() && tensors[i + 1].kind == *below);
        if (slice) AddGateUp(tensor, tensors[i + 1], *slice);
        ++i;
      } else if (slice) {
        AddOne(tensor, *slice);
      }
    }
  }

  // `kind` may differ from the tensor's own: a tied head is made of the embedding.
  void AddMatrix(const model::TensorSpec& tensor, const model::Slice& slice, model::TensorKind kind) {
    PackedTensor packed = Begin(tensor, slice, kind, WeightForm::kPacked, compute_);
    packed.type = LinearType(packed);
    Finish(std::move(packed));
  }

  std::vector<PackedTensor> Take() { return std::move(packed_); }

 private:
  // Of a matrix whose parts are known.
  DType LinearType(const PackedTensor& matrix) const {
    const model::TensorSpec& tensor = matrix.parts[0].tensor;
    if (tensor.kind == model::TensorKind::kRouter) return RouterType(matrix);
    if (tensor.quantized && config_.quantization_config) return DType::kF8E4M3;
    const std::optional<DType> stored = types_.Of(tensor.name);
    if (compute_ == DType::kF32 || !stored) return compute_;
    for (const WeightPart& part : matrix.parts) {
      if (types_.Of(part.tensor.name) != stored) return compute_;
    }
    const int64_t block = BlockElements(*stored);
    if (matrix.col_begin % block != 0 || matrix.cols % block != 0) return compute_;
    const bool in_tiles = *stored == DType::kInt4G128 && IsTiles(row_major_.int4);
    return !in_tiles || FitsTiles(matrix) ? *stored : compute_;
  }

  DType RouterType(PackedTensor matrix) const {
    matrix.type = DType::kBF16;
    return compute_ == DType::kBF16 && row_major_.router && FitsRowMajor(config_, matrix) ? DType::kBF16
                                                                                          : DType::kF32;
  }

  static PackedTensor Begin(const model::TensorSpec& tensor, const model::Slice& slice,
                            model::TensorKind kind, WeightForm form, DType type) {
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
      if (compute_ == DType::kBF16 && row_major_.Has(packed.type) && FitsRowMajor(config_, packed)) {
        packed.layout = WeightLayout::kRows;
      } else if (packed.type == DType::kInt4G128) {
        packed.layout = row_major_.int4;
      }
      packed.value_bytes = PackedValueBytes(packed.type, packed.rows, packed.cols, packed.layout);
      packed.scale_bytes =
          PackedScaleBytes(packed.type, packed.rows, packed.cols, packed.col_begin, packed.layout);
    }
    packed_.push_back(std::move(packed));
  }

  void AddOne(const model::TensorSpec& tensor, const model::Slice& slice) {
    if (IsVector(tensor)) {
      Finish(Begin(tensor, slice, tensor.kind, WeightForm::kVector, DType::kF32));
    } else if (tensor.kind == model::TensorKind::kEmbedTokens) {
      Finish(Begin(tensor, slice, tensor.kind, WeightForm::kTable, compute_));
    } else if (tensor.kind == model::TensorKind::kKvBProj) {
      AddAbsorbed(tensor, slice, WeightForm::kAbsorbedKey);
      AddAbsorbed(tensor, slice, WeightForm::kAbsorbedValue);
    } else if (tensor.kind == model::TensorKind::kKBProj) {
      AddAbsorbed(tensor, slice, WeightForm::kAbsorbedKey);
    } else if (tensor.kind == model::TensorKind::kVBProj) {
      AddAbsorbed(tensor, slice, WeightForm::kAbsorbedValue);
    } else {
      AddMatrix(tensor, slice, tensor.kind);
    }
  }

  void AddGateUp(const model::TensorSpec& gate, const model::TensorSpec& up, const model::Slice& slice) {
    PackedTensor packed = Begin(gate, slice, gate.kind, WeightForm::kPacked, compute_);
    const int64_t up_row = RoundUp(slice.rows, kPanelRows);
    packed.rows = up_row + slice.rows;
    packed.parts.push_back({.tensor = up, .slice = slice, .first_row = up_row});
    packed.type = LinearType(packed);
    Finish(std::move(packed));
  }

  // Of kv_b, whose rows are per head qk_nope_head_dim of the key, then v_head_dim of the value; or of the
  // half that holds this form alone.
  void AddAbsorbed(const model::TensorSpec& tensor, const model::Slice& slice, WeightForm form) {
    const bool key = form == WeightForm::kAbsorbedKey;
    PackedTensor packed = Begin(tensor, slice, model::TensorKind::kKvBProj, form, compute_);
    packed.count = config_.num_attention_heads / layout_.tp;
    packed.rows = key ? config_.kv_lora_rank : config_.v_head_dim;
    packed.cols = key ? config_.qk_nope_head_dim : config_.kv_lora_rank;
    Finish(std::move(packed));
  }

  const model::ModelConfig& config_;
  const model::Layout& layout_;
  const Rank rank_;
  const DType compute_;
  const model::TensorTypes& types_;
  const RowMajorTypes& row_major_;
  std::vector<PackedTensor> packed_;
};

bool HoldsRopeRows(model::TensorKind kind) {
  return kind == model::TensorKind::kQProj || kind == model::TensorKind::kQBProj ||
         kind == model::TensorKind::kKvAProj || kind == model::TensorKind::kKProj ||
         kind == model::TensorKind::kQBias || kind == model::TensorKind::kKBias;
}

}  // namespace

bool ReordersRopeRows(const model::ModelConfig& config, model::TensorKind kind) {
  return !config.rope_interleave && HoldsRopeRows(kind);
}

bool FitsRowMajor(const model::ModelConfig& config, const PackedTensor& matrix) {
  constexpr int64_t kCopiedBytes = 16;  // a row's are a multiple of it
  constexpr int64_t kScaleRows = 8, kScaleColumns = 128;
  if (matrix.rows % kPanelRows != 0) return false;
  if (matrix.cols * static_cast<int64_t>(SizeOf(matrix.type)) % kCopiedBytes != 0) return false;
  if (matrix.type != DType::kF8E4M3) return true;
  if (matrix.col_begin % kScaleColumns != 0 || ReordersRopeRows(config, matrix.kind)) return false;
  for (const WeightPart& part : matrix.parts) {
    if (part.slice.row_begin % kScaleRows != 0) return false;
  }
  return true;
}

bool FitsTiles(const PackedTensor& matrix) {
  if (matrix.rows % kPanelRows != 0) return false;
  return std::all_of(matrix.parts.begin(), matrix.parts.end(),
                     [](const WeightPart& part) { return part.first_row % kInt4TileRows == 0; });
}

std::vector<PackedTensor> PackedTensorsOf(const model::ModelConfig& config, const model::Layout& layout,
                                          Rank rank, DType compute, const model::TensorTypes& types,
                                          const RowMajorTypes& row_major) {
  DR_CHECK(compute == DType::kBF16 || compute == DType::kF32);
  const int32_t stage = model::CoordinatesOf(layout, rank).pp_rank;
  const auto [first_layer, end_layer] = model::LayersOfStage(config, layout, stage);
  Packing packing(config, layout, rank, compute, types, row_major);

  std::vector<model::TensorSpec> after_layers;
  for (model::TensorSpec& tensor : model::TopTensors(config)) {
    if (tensor.kind != model::TensorKind::kEmbedTokens) {
      after_layers.push_back(std::move(tensor));
      continue;
    }
    if (stage == 0) packing.Add({tensor});
    if (config.tie_word_embeddings) after_layers.push_back(std::move(tensor));
  }

  for (int64_t layer = first_layer; layer < end_layer; ++layer)
    packing.Add(model::LayerTensors(config, layer));

  for (const model::TensorSpec& tensor : after_layers) {
    if (tensor.kind != model::TensorKind::kEmbedTokens) {
      packing.Add({tensor});
    } else if (stage == layout.pp - 1) {
      packing.AddMatrix(tensor, *model::SliceFor(config, tensor, layout, rank), model::TensorKind::kLmHead);
    }
  }
  return packing.Take();
}

int64_t WeightBytes(const model::ModelConfig& config, const model::Layout& layout, Rank rank, DType compute,
                    const model::TensorTypes& types, const RowMajorTypes& row_major) {
  int64_t bytes = 0;
  for (const PackedTensor& tensor : PackedTensorsOf(config, layout, rank, compute, types, row_major)) {
    bytes += tensor.bytes();
  }
  return bytes;
}

}  // namespace deeprack::sizing
