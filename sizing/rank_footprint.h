// What a rank takes of its device's memory, before it takes any of it: the worker takes exactly this, and
// `deeprack plan` prints it.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"
#include "sizing/peer_places.h"
#include "sizing/rank_spec.h"
#include "sizing/step_areas.h"
#include "sizing/weight_manifest.h"

namespace deeprack::sizing {

// Which memory, and what computes on it.
struct DeviceNeeds {
  const kernels::KernelNeeds& kernels;
  int multiprocessors = 0;          // Execution's
  bool shares_host_memory = false;  // kernels read the host's tables
};

// Bytes.
struct RankFootprint {
  int64_t weights = 0;
  int64_t weight_tables = 0;  // where kernels find weights
  int64_t workspace = 0;      // of the decoder
  int64_t scratch_data = 0;  // the kernels' (KernelNeeds::scratch_bytes), one allocation: data, then counters
  int64_t scratch_counters = 0;
  StepAreas step;
  PeerNeeds peers;
  int64_t page = 0;  // of the KV cache, over the rank's layers

  int64_t scratch() const;
  // All but pages.
  int64_t fixed() const;
};

// `manifest` is the rank's.
RankFootprint RankFootprintOf(const RankSpec& spec, const WeightManifest& manifest,
                              const DeviceNeeds& device);

}  // namespace deeprack::sizing
