// `deeprack plan MODEL`: what every rank takes of its device, before any of it is taken.
#pragma once

#include <cstdint>
#include <string>

#include "cli/plan/cluster_plan.h"
#include "cli/plan/planned_device.h"
#include "settings/settings.h"

namespace deeprack::cli {

struct PlanOptions {
  int64_t device_memory = 0;  // bytes that are free on each rank's own card or machine; 0: unknown
};

// A table: a line per rank (equal neighbours as one) with its weights, the workspace of a step, the kernels'
// scratch, everything else, the sum of these, and the size of a KV page; where the plan knows, how many
// tokens the rank could cache. A last line has the ranks' sums, and the tokens that the cluster caches.
std::string PlanTable(const ClusterPlan& plan, const PlannedDevice& device);

// Other settings with which it would fit, as a sentence.
std::string WhatWouldFit(const model::ModelConfig& config, const sizing::WeightForms& forms,
                         const PlannedDevice& device, const Settings& options, int64_t device_memory);

int Plan(const Settings& options, const PlanOptions& plan);

}  // namespace deeprack::cli
