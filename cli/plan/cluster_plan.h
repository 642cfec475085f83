// What every rank of a cluster would take, and how much KV cache that leaves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "cli/plan/planned_device.h"
#include "model/budget/budget.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "settings/settings.h"
#include "sizing/rank_footprint.h"
#include "sizing/weight_forms.h"

namespace deeprack::cli {

struct ClusterPlan {
  model::Layout layout;
  DType compute = DType::kBF16;
  DType cache_type = DType::kBF16;
  model::StepLimits limits;
  int64_t kv_bytes = 0;       // asked for; 0: from the memory
  int64_t device_memory = 0;  // of each rank's own device; 0: not told
  std::vector<sizing::RankFootprint> ranks;

  bool knows_cache() const { return kv_bytes > 0 || device_memory > 0; }
  // Pages of the KV cache that one rank could hold, and that all of them agree on. Of use with knows_cache().
  int64_t PagesOf(Rank rank) const;
  int64_t Pages() const;
};

// As a worker prepares itself. FailedPrecondition: CheckSuits's.
absl::StatusOr<ClusterPlan> PlanCluster(const model::ModelConfig& config, const sizing::WeightForms& forms,
                                        const PlannedDevice& device, const Settings& options,
                                        int64_t device_memory);

// FailedPrecondition: a device has less memory than its rank takes, by how much, with a page of KV cache at
// least. OK where the memory is not known.
absl::Status CheckFits(const ClusterPlan& plan);

}  // namespace deeprack::cli
