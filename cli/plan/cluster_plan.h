// The memory that each rank of a cluster would take, and the KV cache that is left.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "cli/plan/planned_device.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "model/step/step_limits.h"
#include "settings/settings.h"
#include "sizing/rank_footprint.h"
#include "sizing/weight_forms.h"

namespace deeprack::cli {

struct ClusterPlan {
  model::Layout layout;
  DType compute = DType::kBF16;
  DType cache_type = DType::kBF16;
  model::StepLimits limits;
  int32_t speculative_tokens = 0;  // as RankSpec's
  std::string why_no_mtp;          // not empty: drafts are requested, and there are none for this reason
  int64_t kv_bytes = 0;       // of each rank's KV cache, as set by the user; 0: a share of device_memory
  int64_t device_memory = 0;  // bytes of each rank's device; 0: unknown
  std::vector<sizing::RankFootprint> ranks;

  bool knows_cache() const { return kv_bytes > 0 || device_memory > 0; }
  // Pages that one rank could hold, and pages that all ranks would agree on. Call with knows_cache() only.
  int64_t PagesOf(Rank rank) const;
  int64_t Pages() const;
};

// Counts as a worker does. `forms` are those of the model's weights on `device`. Errors: those of CheckSuits.
absl::StatusOr<ClusterPlan> PlanCluster(const model::ModelConfig& config, const sizing::WeightForms& forms,
                                        const PlannedDevice& device, const Settings& options,
                                        int64_t device_memory);

// FailedPrecondition: a device is too small for its rank with at least one page of KV cache; the message says
// how many bytes are missing. Ok if the device memory is unknown.
absl::Status CheckFits(const ClusterPlan& plan);

}  // namespace deeprack::cli
