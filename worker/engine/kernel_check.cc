#include "worker/engine/kernel_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace deeprack::worker {

absl::Status CheckKernels(const model::ModelConfig& config, const kernels::KernelSet& kernels) {
  // KernelNeeds and the table of operations must agree.
  DR_CHECK(kernels.sums_among_peers == (kernels.peer_sum != nullptr));
  DR_CHECK(kernels.exchanges_among_peers == (kernels.peer_exchange != nullptr));
  if (!config.has_latent_attention() && kernels.gqa_attention == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ", std::string(kernels.name), " kernels have no grouped-query attention, which a ",
                     config.model_type, " model needs: serve it with the cpu backend"));
  }
  return absl::OkStatus();
}

}  // namespace deeprack::worker
