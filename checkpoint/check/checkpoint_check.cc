#include "checkpoint/check/checkpoint_check.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/checked.h"
#include "base/message_text.h"
#include "base/status_macros.h"
#include "checkpoint/group_quantized/group_parts.h"
#include "model/tensors/group_types.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::checkpoint {
namespace {

using model::ModelConfig;
using model::TensorSpec;

class Checker {
 public:
  Checker(const ModelConfig& config, const CheckpointReader& reader) : config_(config), reader_(reader) {}

  absl::Status CheckAll(const std::vector<TensorSpec>& tensors) {
    for (const TensorSpec& tensor : tensors) DR_RETURN_IF_ERROR(Check(tensor));
    return absl::OkStatus();
  }

  // Checks that an MTP layer is stored whole or not at all, except for its copies of embedding and head.
  // Models saved with Hugging Face's library declare an MTP layer and do not store it.
  absl::Status CheckMtpLayer(int64_t layer) {
    std::vector<TensorSpec> tensors = model::LayerTensors(config_, layer);
    std::erase_if(tensors, [&](const TensorSpec& tensor) { return IsMtpCopy(tensor) && !IsStored(tensor); });
    if (!WhyUnused(tensors).empty()) return absl::OkStatus();
    const TensorSpec* present = nullptr;
    const TensorSpec* absent = nullptr;
    for (const TensorSpec& tensor : tensors) (IsStored(tensor) ? present : absent) = &tensor;
    if (absent != nullptr) {
      return absl::NotFoundError(absl::StrCat(reader_.folder(), ": tensor ", absent->name,
                                              " is missing, but ", present->name,
                                              " is stored: an MTP layer must be stored whole or not "
                                              "at all"));
    }
    if (layer == config_.num_hidden_layers + summary_.mtp_layers) ++summary_.mtp_layers;
    return CheckAll(tensors);
  }

  // Why the MTP layer with these tensors counts as absent; "": it does not.
  std::string WhyUnused(const std::vector<TensorSpec>& tensors) const {
    if (std::none_of(tensors.begin(), tensors.end(),
                     [&](const TensorSpec& tensor) { return !IsMtpCopy(tensor) && IsStored(tensor); })) {
      return absl::StrCat(reader_.folder(), " does not hold the MTP layer that the config declares");
    }
    for (const TensorSpec& tensor : tensors) {
      if (IsMtpCopy(tensor)) continue;
      if (std::string fault = MtpTypeFault(tensor); !fault.empty()) {
        return absl::StrCat("the MTP layer's tensor ", tensor.name, " is ", fault);
      }
    }
    return "";
  }

  CheckpointSummary Summary() const {
    CheckpointSummary summary = summary_;
    summary.ignored_tensors = reader_.tensor_count() - summary.tensors;
    return summary;
  }

 private:
  static bool IsMtpCopy(const TensorSpec& tensor) {
    return tensor.kind == model::TensorKind::kMtpEmbedTokens || tensor.kind == model::TensorKind::kMtpHead;
  }

  bool IsStored(const TensorSpec& tensor) const {
    return reader_.Find(tensor.name) != nullptr || !reader_.UnreadType(tensor.name).empty() ||
           !AnyGroupPart(reader_, tensor.name).empty();
  }

  bool IsFp8(const TensorSpec& tensor) const {
    return tensor.quantized && config_.quantization_config.has_value();
  }

  bool IsLoadable(const TensorSpec& tensor, DType stored) const {
    if (IsFp8(tensor)) return stored == DType::kF8E4M3;
    const bool is_matrix = tensor.shape.size() > 1;
    return stored == DType::kBF16 || stored == DType::kF16 || stored == DType::kF32 ||
           (is_matrix && IsBlockFormat(stored));
  }

  std::string ExpectedType(const TensorSpec& tensor) const {
    if (IsFp8(tensor)) return "F8_E4M3 (the config has a quantization_config)";
    return absl::StrCat(tensor.shape.size() > 1 ? "BF16, F16, F32 or a block format" : "BF16, F16 or F32",
                        tensor.quantized ? " (the config has no quantization_config)" : "");
  }

  // "I32, expected ...", of a stored type that cannot be loaded; "": it can, or nothing is stored.
  std::string TypeFault(const TensorSpec& tensor) const {
    std::string stored = reader_.UnreadType(tensor.name);
    if (const TensorView* view = reader_.Find(tensor.name)) {
      if (!IsLoadable(tensor, view->dtype)) stored = Name(view->dtype);
    }
    return stored.empty() ? "" : absl::StrCat(stored, ", expected ", ExpectedType(tensor));
  }

  std::string MtpTypeFault(const TensorSpec& tensor) const {
    const TensorView* view = reader_.Find(tensor.name);
    const bool in_groups = !AnyGroupPart(reader_, tensor.name).empty();
    if (model::IsStoredInGroups(config_, tensor)) {
      std::string stored = reader_.UnreadType(tensor.name);
      // int8 is stored under the tensor's own name.
      if (view != nullptr && !in_groups && view->dtype != DType::kI8) stored = Name(view->dtype);
      return stored.empty() ? "" : absl::StrCat(stored, ", expected integers in groups, as the config says");
    }
    if (view == nullptr && in_groups) return "stored as integers in groups, which the config does not say";
    return TypeFault(tensor);
  }

  absl::Status Check(const TensorSpec& tensor) {
    if (model::IsStoredInGroups(config_, tensor)) return CheckGroups(tensor);
    if (const std::string fault = TypeFault(tensor); !fault.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(reader_.FileOf(tensor.name), ": tensor ", tensor.name, " is ", fault));
    }
    const TensorView* view = reader_.Find(tensor.name);
    if (view == nullptr) {
      if (const std::string part = AnyGroupPart(reader_, tensor.name); !part.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat(reader_.FileOf(part), ": the file holds ", part, ", but the config says that ",
                         tensor.name, " is not quantised: correct the config's quantization_config"));
      }
      return absl::NotFoundError(
          absl::StrCat(reader_.folder(), ": tensor ", tensor.name, " ", ShapeText(tensor.shape),
                       ", which the config requires, is missing: fetch the file that holds "
                       "the tensor, or correct the config"));
    }
    DR_RETURN_IF_ERROR(CheckShape(tensor.name, *view, tensor.shape));
    Count(*view);
    summary_.parameters += *CheckedProduct(tensor.shape);
    return tensor.quantized && config_.quantization_config ? CheckScale(tensor) : absl::OkStatus();
  }

  absl::Status CheckGroups(const TensorSpec& tensor) {
    DR_ASSIGN_OR_RETURN(
        const GroupParts parts,
        FindGroupParts(reader_, *config_.group_quantization, tensor.name, tensor.shape[0], tensor.shape[1]));
    for (const GroupPart* part : parts.All()) Count(part->view);
    summary_.parameters += *CheckedProduct(tensor.shape);
    return absl::OkStatus();
  }

  absl::Status CheckScale(const TensorSpec& tensor) {
    const std::string name = tensor.scale_name();
    const TensorView* scale = reader_.Find(name);
    const std::vector<int64_t> shape = {CeilDiv(tensor.shape[0], config_.quantization_config->block_rows),
                                        CeilDiv(tensor.shape[1], config_.quantization_config->block_cols)};
    if (scale == nullptr) {
      return absl::NotFoundError(
          absl::StrCat(reader_.folder(), ": scale ", name, " ", ShapeText(shape), " of ", tensor.name,
                       " is missing, fp8 weights need their scales: fetch the file that holds them"));
    }
    if (scale->dtype != DType::kF32) {
      return absl::InvalidArgumentError(absl::StrCat(reader_.FileOf(name), ": tensor ", name, " is ",
                                                     std::string(Name(scale->dtype)), ", expected F32"));
    }
    DR_RETURN_IF_ERROR(CheckShape(name, *scale, shape));
    Count(*scale);
    return absl::OkStatus();
  }

  absl::Status CheckShape(const std::string& name, const TensorView& view,
                          const std::vector<int64_t>& expected) const {
    if (view.shape == expected) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        reader_.FileOf(name), ": tensor ", name, " has shape ", ShapeText(view.shape), ", expected ",
        ShapeText(expected), " from the config: config and tensor are of different models"));
  }

  void Count(const TensorView& view) {
    ++summary_.tensors;
    summary_.bytes += static_cast<int64_t>(view.bytes.size());
  }

  const ModelConfig& config_;
  const CheckpointReader& reader_;
  CheckpointSummary summary_;
};

}  // namespace

std::string WhyNoMtp(const ModelConfig& config) {
  return config.num_nextn_predict_layers > 0 ? "" : "the model has no MTP layer";
}

std::string WhyNoMtp(const ModelConfig& config, const CheckpointReader& reader) {
  if (std::string reason = WhyNoMtp(config); !reason.empty()) return reason;
  return Checker(config, reader).WhyUnused(model::LayerTensors(config, config.num_hidden_layers));
}

absl::StatusOr<CheckpointSummary> CheckCheckpoint(const ModelConfig& config, const CheckpointReader& reader) {
  Checker checker(config, reader);
  DR_RETURN_IF_ERROR(checker.CheckAll(model::TopTensors(config)));
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    DR_RETURN_IF_ERROR(checker.CheckAll(model::LayerTensors(config, layer)));
  }
  for (int64_t i = 0; i < config.num_nextn_predict_layers; ++i) {
    DR_RETURN_IF_ERROR(checker.CheckMtpLayer(config.num_hidden_layers + i));
  }
  return checker.Summary();
}

}  // namespace deeprack::checkpoint
