#include "worker/engine/kernel_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/block_formats.h"

namespace deeprack::worker {

absl::Status CheckKernels(const model::ModelConfig& config, const kernels::KernelSet& kernels) {
  if (!config.has_latent_attention() && kernels.gqa_attention == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ", std::string(kernels.name), " kernels have no grouped-query attention, which a ",
                     config.model_type, " model needs: serve it with --backend cpu"));
  }
  return absl::OkStatus();
}

absl::Status CheckWeightTypes(const std::vector<model::PackedTensor>& weights,
                              const kernels::KernelSet& kernels) {
  if (kernels.block_formats) return absl::OkStatus();
  for (const model::PackedTensor& weight : weights) {
    if (!IsBlockFormat(weight.type)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("tensor ", weight.parts[0].tensor.name, " is ", std::string(Name(weight.type)),
                     ", and the ", std::string(kernels.name),
                     " kernels multiply weights of F32, BF16 and F8_E4M3 only: serve it with --backend cpu, "
                     "or with --compute f32, "
                     "which expands it"));
  }
  return absl::OkStatus();
}

}  // namespace deeprack::worker
