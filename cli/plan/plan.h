// `deeprack plan MODEL`: the memory that each rank would take of its device.
#pragma once

#include <cstdint>
#include <string>

#include "cli/plan/cluster_plan.h"
#include "cli/plan/planned_device.h"
#include "settings/settings.h"

namespace deeprack::cli {

struct PlanOptions {
  int64_t device_memory = 0;  // bytes free on each rank's card or machine; 0: unknown
};

// A table. With speculation requested, a line says whether there is any. A line for each rank, or run of equal ranks: weights, workspace, the kernels' scratch, other
// memory, the sum, the size of a KV page and, with knows_cache(), the tokens that the rank could cache. The
// last line has the sums over the ranks and the tokens that the cluster caches.
std::string PlanTable(const ClusterPlan& plan, const PlannedDevice& device);

// A sentence that names other settings with which the model would fit.
std::string WhatWouldFit(const model::ModelConfig& config, const sizing::WeightForms& forms,
                         const PlannedDevice& device, const Settings& options, int64_t device_memory);

int Plan(const Settings& options, const PlanOptions& plan);

}  // namespace deeprack::cli
