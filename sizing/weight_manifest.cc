#include "sizing/weight_manifest.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/block_formats.h"
#include "base/check.h"
#include "base/checked.h"
#include "base/status_macros.h"
#include "base/weight_geometry.h"

namespace deeprack::sizing {
namespace {

bool IsVector(const model::TensorSpec& tensor) { return tensor.shape.size() == 1; }

// The kind of the matrix that is stacked below a matrix of this kind; nullopt: none.
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

class ManifestBuilder {
 public:
  ManifestBuilder(const RankSpec& spec, const WeightForms& forms) : spec_(spec), forms_(forms) {}

  // `tensors` in the registry's order: up follows gate.
  void Add(const std::vector<model::TensorSpec>& tensors) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      const model::TensorSpec& tensor = tensors[i];
      if (tensor.kind == model::TensorKind::kMtpEmbedTokens || tensor.kind == model::TensorKind::kMtpHead) {
        continue;  // the model's own are used
      }
      const std::optional<model::Slice> slice =
          model::SliceFor(spec_.config, tensor, spec_.layout, spec_.rank);
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
    PackedTensor packed = Begin(tensor, slice, kind, WeightForm::kPacked, spec_.compute);
    packed.type = LinearType(packed);
    Finish(std::move(packed));
  }

  // The embedding, on a rank whose stage is not the first.
  void AddEmbedding(const model::TensorSpec& tensor) {
    const Rank of_first_stage = spec_.rank % spec_.layout.stage_size();
    AddOne(tensor, *model::SliceFor(spec_.config, tensor, spec_.layout, of_first_stage));
  }

  WeightManifest Take() { return std::move(manifest_); }

 private:
  // Needs the parts of `matrix`.
  DType LinearType(const PackedTensor& matrix) const {
    const model::TensorSpec& tensor = matrix.parts[0].tensor;
    if (tensor.kind == model::TensorKind::kRouter) return RouterType(matrix);
    if (tensor.quantized && spec_.config.quantization_config) return DType::kF8E4M3;
    const std::optional<DType> stored = forms_.types.Of(tensor.name);
    if (spec_.compute == DType::kF32 || !stored) return spec_.compute;
    for (const WeightPart& part : matrix.parts) {
      if (forms_.types.Of(part.tensor.name) != stored) return spec_.compute;
    }
    const int64_t block = BlockElements(*stored);
    if (matrix.col_begin % block != 0 || matrix.cols % block != 0) return spec_.compute;
    const bool in_tiles = *stored == DType::kInt4G128 && IsTiles(forms_.row_major.int4);
    return !in_tiles || FitsTiles(matrix) ? *stored : spec_.compute;
  }

  DType RouterType(PackedTensor matrix) const {
    matrix.type = DType::kBF16;
    return spec_.compute == DType::kBF16 && forms_.row_major.router && FitsRowMajor(spec_.config, matrix)
               ? DType::kBF16
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
      if (spec_.compute == DType::kBF16 && forms_.row_major.Has(packed.type) &&
          FitsRowMajor(spec_.config, packed)) {
        packed.layout = WeightLayout::kRows;
      } else if (packed.type == DType::kInt4G128) {
        packed.layout = forms_.row_major.int4;
      }
      packed.value_bytes = PackedValueBytes(packed.type, packed.rows, packed.cols, packed.layout);
      packed.scale_bytes =
          PackedScaleBytes(packed.type, packed.rows, packed.cols, packed.col_begin, packed.layout);
    }
    packed.offset = manifest_.bytes;
    manifest_.bytes += packed.bytes();
    manifest_.tensors.push_back(std::move(packed));
  }

  void AddOne(const model::TensorSpec& tensor, const model::Slice& slice) {
    if (IsVector(tensor)) {
      Finish(Begin(tensor, slice, tensor.kind, WeightForm::kVector, DType::kF32));
    } else if (tensor.kind == model::TensorKind::kEmbedTokens) {
      Finish(Begin(tensor, slice, tensor.kind, WeightForm::kTable, spec_.compute));
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
    PackedTensor packed = Begin(gate, slice, gate.kind, WeightForm::kPacked, spec_.compute);
    const int64_t up_row = RoundUp(slice.rows, kPanelRows);
    packed.rows = up_row + slice.rows;
    packed.parts.push_back({.tensor = up, .slice = slice, .first_row = up_row});
    packed.type = LinearType(packed);
    Finish(std::move(packed));
  }

  // `tensor` is kv_b, which has for each head qk_nope_head_dim rows of the key, then v_head_dim rows of the
  // value; or the half of kv_b that holds this form alone.
  void AddAbsorbed(const model::TensorSpec& tensor, const model::Slice& slice, WeightForm form) {
    const bool key = form == WeightForm::kAbsorbedKey;
    PackedTensor packed = Begin(tensor, slice, model::TensorKind::kKvBProj, form, spec_.compute);
    packed.count = spec_.config.num_attention_heads / spec_.layout.tp;
    packed.rows = key ? spec_.config.kv_lora_rank : spec_.config.v_head_dim;
    packed.cols = key ? spec_.config.qk_nope_head_dim : spec_.config.kv_lora_rank;
    Finish(std::move(packed));
  }

  const RankSpec& spec_;
  const WeightForms& forms_;
  WeightManifest manifest_;
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

WeightManifest ManifestOf(const RankSpec& spec, const WeightForms& forms) {
  DR_CHECK(spec.compute == DType::kBF16 || spec.compute == DType::kF32);
  const auto [first_layer, end_layer] = spec.layers();
  ManifestBuilder builder(spec, forms);

  std::vector<model::TensorSpec> after_layers;
  std::optional<model::TensorSpec> embedding;
  for (model::TensorSpec& tensor : model::TopTensors(spec.config)) {
    if (tensor.kind != model::TensorKind::kEmbedTokens) {
      after_layers.push_back(std::move(tensor));
      continue;
    }
    if (spec.coordinates().pp_rank == 0) builder.Add({tensor});
    embedding = tensor;
    if (spec.config.tie_word_embeddings) after_layers.push_back(std::move(tensor));
  }

  for (int64_t layer = first_layer; layer < end_layer; ++layer) {
    builder.Add(model::LayerTensors(spec.config, layer));
  }

  for (const model::TensorSpec& tensor : after_layers) {
    if (tensor.kind != model::TensorKind::kEmbedTokens) {
      builder.Add({tensor});
    } else if (spec.is_last_stage()) {
      builder.AddMatrix(tensor, *model::SliceFor(spec.config, tensor, spec.layout, spec.rank),
                        model::TensorKind::kLmHead);
    }
  }

  if (spec.has_mtp()) {
    if (spec.coordinates().pp_rank > 0) builder.AddEmbedding(*embedding);
    builder.Add(model::LayerTensors(spec.config, spec.config.num_hidden_layers));
  }
  return builder.Take();
}

absl::StatusOr<WeightManifest> ManifestOf(const RankSpec& spec, const checkpoint::CheckpointReader& reader,
                                          const kernels::KernelNeeds& kernels) {
  DR_ASSIGN_OR_RETURN(const WeightForms forms, WeightFormsOf(spec.config, reader, kernels));
  return ManifestOf(spec, forms);
}

}  // namespace deeprack::sizing
