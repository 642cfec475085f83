#include "checkpoint/check/checkpoint_check.h"

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
  Checker(const ModelConfig& config, const CheckpointReader& reader) : config_(config), reader_(reader) {
    summary_.has_mtp = config.num_nextn_predict_layers > 0;  // set to false when a layer is absent
  }

  absl::Status CheckAll(const std::vector<TensorSpec>& tensors) {
    for (const TensorSpec& tensor : tensors) DR_RETURN_IF_ERROR(Check(tensor));
    return absl::OkStatus();
  }

  // Checks that an MTP layer is stored whole or not at all. Models saved with Hugging Face's library declare
  // an MTP layer and do not store it.
  absl::Status CheckMtpLayer(int64_t layer) {
    const std::vector<TensorSpec> tensors = model::LayerTensors(config_, layer);
    const TensorSpec* present = nullptr;
    const TensorSpec* absent = nullptr;
    for (const TensorSpec& tensor : tensors) {
      const bool stored = reader_.Find(tensor.name) != nullptr || !AnyGroupPart(reader_, tensor.name).empty();
      (stored ? present : absent) = &tensor;
    }
    if (present == nullptr) {
      summary_.has_mtp = false;
      return absl::OkStatus();
    }
    if (absent != nullptr) {
      return absl::NotFoundError(absl::StrCat(reader_.folder(), ": tensor ", absent->name,
                                              " is missing, but ", present->name,
                                              " is stored: an MTP layer must be stored whole or not "
                                              "at all"));
    }
    return CheckAll(tensors);
  }

  CheckpointSummary Summary() const {
    CheckpointSummary summary = summary_;
    summary.ignored_tensors = reader_.tensor_count() - summary.tensors;
    return summary;
  }

 private:
  absl::Status Check(const TensorSpec& tensor) {
    if (model::IsStoredInGroups(config_, tensor)) return CheckGroups(tensor);
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
    const bool fp8 = tensor.quantized && config_.quantization_config.has_value();
    if (fp8 && view->dtype != DType::kF8E4M3) {
      return WrongType(tensor.name, view->dtype, "F8_E4M3 (the config has a quantization_config)");
    }
    const bool is_matrix = tensor.shape.size() > 1;
    if (!fp8 && view->dtype != DType::kBF16 && view->dtype != DType::kF16 && view->dtype != DType::kF32 &&
        !(is_matrix && IsBlockFormat(view->dtype))) {
      return WrongType(tensor.name, view->dtype,
                       absl::StrCat(is_matrix ? "BF16, F16, F32 or a block format" : "BF16, F16 or F32",
                                    tensor.quantized ? " (the config has no quantization_config)" : ""));
    }
    DR_RETURN_IF_ERROR(CheckShape(tensor.name, *view, tensor.shape));
    Count(*view);
    summary_.parameters += *CheckedProduct(tensor.shape);
    return fp8 ? CheckScale(tensor) : absl::OkStatus();
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
    if (scale->dtype != DType::kF32) return WrongType(name, scale->dtype, "F32");
    DR_RETURN_IF_ERROR(CheckShape(name, *scale, shape));
    Count(*scale);
    return absl::OkStatus();
  }

  absl::Status WrongType(const std::string& name, DType found, const std::string& expected) const {
    return absl::InvalidArgumentError(absl::StrCat(reader_.FileOf(name), ": tensor ", name, " is ",
                                                   std::string(Name(found)), ", expected ", expected));
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
