#include "cli/quantize/tensor_plan.h"

#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/checked.h"
#include "cli/quantize/weight_policy.h"
#include "model/gguf/gguf_tensor_names.h"

namespace deeprack::cli {
namespace {

using model::ModelConfig;
using model::TensorKind;
using model::TensorSpec;

int64_t Rows(const TensorSpec& spec) { return spec.shape.size() > 1 ? spec.shape[0] : 1; }

// The divisors of the frequencies, one for each pair: Hugging Face's modeling_rope_utils.py, rope_type
// llama3.
std::vector<float> Llama3Factors(const ModelConfig& config) {
  const model::Llama3RopeScaling& scaling = *config.llama3_rope_scaling;
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  std::vector<float> factors;
  for (int64_t pair = 0; pair < config.qk_rope_head_dim / 2; ++pair) {
    const double exponent = static_cast<double>(2 * pair) / static_cast<double>(config.qk_rope_head_dim);
    const double turns = original / (2 * std::numbers::pi * std::pow(config.rope_theta, exponent));
    if (turns > scaling.high_freq_factor) {
      factors.push_back(1);
    } else if (turns < scaling.low_freq_factor) {
      factors.push_back(static_cast<float>(scaling.factor));
    } else {
      const double smooth =
          (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      factors.push_back(static_cast<float>(1 / ((1 - smooth) / scaling.factor + smooth)));
    }
  }
  return factors;
}

class Planner {
 public:
  Planner(const ModelConfig& config, QuantType type) : config_(config), type_(type) {}

  std::vector<PlannedTensor> Plan() {
    const std::vector<TensorSpec> top = model::TopTensors(config_);
    for (const TensorSpec& spec : top) {
      if (spec.kind == TensorKind::kEmbedTokens) Add(spec);
    }
    AddRopeFrequencies();
    const int64_t layers = config_.num_hidden_layers + config_.num_nextn_predict_layers;
    for (int64_t layer = 0; layer < layers; ++layer) AddLayer(layer);
    for (const TensorSpec& spec : top) {
      if (spec.kind != TensorKind::kEmbedTokens) Add(spec);
    }
    return std::move(tensors_);
  }

 private:
  PlannedTensor& New(const TensorSpec& spec, std::vector<int64_t> shape) {
    const DType type = FitToRow(WeightType(config_, spec, type_), shape.back());
    tensors_.push_back(
        {.record = {.name = NameOf(spec), .dtype = type, .shape = std::move(shape)}, .kind = spec.kind});
    return tensors_.back();
  }

  static std::string NameOf(const TensorSpec& spec) {
    const char* name = model::GgufTensorName(spec.kind);
    DR_CHECK(name != nullptr);
    return spec.layer < 0 ? name : absl::StrCat("blk.", spec.layer, ".", name);
  }

  void AddLayer(int64_t layer) {
    for (const TensorSpec& spec : model::LayerTensors(config_, layer)) {
      if (spec.kind == TensorKind::kMtpEmbedTokens || spec.kind == TensorKind::kMtpHead) continue;
      if (spec.kind == TensorKind::kKvBProj) {
        AddSplitKvB(spec);
      } else if (spec.expert >= 0) {
        AddExpert(spec);
      } else {
        Add(spec);
      }
    }
  }

  std::vector<int64_t> ShapeOf(const TensorSpec& spec) const {
    const int64_t heads = config_.num_attention_heads;
    if (spec.kind == TensorKind::kKBProj) return {heads, config_.kv_lora_rank, config_.qk_nope_head_dim};
    if (spec.kind == TensorKind::kVBProj) return {heads, config_.v_head_dim, config_.kv_lora_rank};
    return spec.shape;
  }

  void Add(const TensorSpec& spec) {
    PlannedTensor& tensor = New(spec, ShapeOf(spec));
    const int64_t rope = config_.qk_rope_head_dim;
    switch (spec.kind) {
      case TensorKind::kQProj:
      case TensorKind::kQBProj:
      case TensorKind::kKProj:
      case TensorKind::kQBias:
      case TensorKind::kKBias:
        if (PairsRope()) return AddHeads(spec, config_.qk_head_dim(), rope, tensor);
        break;
      case TensorKind::kKvAProj:
        if (PairsRope()) return AddHeads(spec, Rows(spec), rope, tensor);
        break;
      default:
        break;
    }
    tensor.pieces.push_back({.source = spec.name, .rows = Rows(spec)});
  }

  // llama.cpp rotates neighbouring rows in deepseek2 and llama, and rows half a head apart in qwen2, as
  // Hugging Face does in all models without rope_interleave.
  bool PairsRope() const { return !config_.rope_interleave && config_.model_type != "qwen2"; }

  // Of each `head` rows, the last `rope` rows are rotated.
  void AddHeads(const TensorSpec& spec, int64_t head, int64_t rope, PlannedTensor& tensor) {
    DR_CHECK(spec.shape.size() == 2);  // only qwen2 has biases, and qwen2 does not come here
    for (int64_t begin = 0; begin < spec.shape[0]; begin += head) {
      if (head > rope)
        tensor.pieces.push_back({.source = spec.name, .row_begin = begin, .rows = head - rope});
      tensor.pieces.push_back({.source = spec.name,
                               .row_begin = begin + head - rope,
                               .rows = rope,
                               .order = RowOrder::kHalvesInterleaved});
    }
  }

  void AddExpert(const TensorSpec& spec) {
    if (spec.expert == 0) {
      experts_[spec.kind] = tensors_.size();
      New(spec, {config_.n_routed_experts, spec.shape[0], spec.shape[1]});
    }
    tensors_[experts_[spec.kind]].pieces.push_back({.source = spec.name, .rows = spec.shape[0]});
  }

  // For each head, kv_b holds the rows of the key, then the rows of the value. The absorbed attention
  // multiplies a query's key part by the transpose of the key rows.
  void AddSplitKvB(const TensorSpec& spec) {
    const int64_t nope = config_.qk_nope_head_dim;
    const int64_t value = config_.v_head_dim;
    TensorSpec half = spec;
    for (TensorKind kind : {TensorKind::kKBProj, TensorKind::kVBProj}) {
      half.kind = kind;
      PlannedTensor& tensor = New(half, ShapeOf(half));
      for (int64_t head = 0; head < config_.num_attention_heads; ++head) {
        TensorPiece piece = {.source = spec.name, .row_begin = head * (nope + value)};
        if (kind == TensorKind::kKBProj) {
          piece.rows = nope;
          piece.order = RowOrder::kTransposed;
        } else {
          piece.row_begin += nope;
          piece.rows = value;
        }
        tensor.pieces.push_back(std::move(piece));
      }
    }
  }

  void AddRopeFrequencies() {
    std::vector<float> factors = config_.rope_freqs;
    if (config_.llama3_rope_scaling) factors = Llama3Factors(config_);
    if (factors.empty()) return;
    const auto count = static_cast<int64_t>(factors.size());
    tensors_.push_back({.record = {.name = "rope_freqs.weight", .dtype = DType::kF32, .shape = {count}},
                        .values = std::move(factors)});
  }

  const ModelConfig& config_;
  const QuantType type_;
  std::vector<PlannedTensor> tensors_;
  std::map<TensorKind, size_t> experts_;  // the index in tensors_ of the present layer's gate, up and down
};

}  // namespace

int64_t PlannedTensor::parameters() const { return CheckedProduct(record.shape).value_or(0); }

std::vector<PlannedTensor> PlanTensors(const ModelConfig& config, QuantType type) {
  return Planner(config, type).Plan();
}

}  // namespace deeprack::cli
