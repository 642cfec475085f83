// Bytes of device memory that a rank takes, counted before any of it is allocated. The worker allocates
// exactly these bytes, and `deeprack plan` prints them.
#pragma once

#include <cstdint>

#include "kernels/api/kernel_needs.h"
#include "sizing/peer_places.h"
#include "sizing/rank_spec.h"
#include "sizing/step_areas.h"
#include "sizing/weight_manifest.h"

namespace deeprack::sizing {

// Properties of the device that decide the footprint.
struct DeviceNeeds {
  const kernels::KernelNeeds& kernels;
  int multiprocessors = 0;          // as in kernels::Execution
  bool shares_host_memory = false;  // kernels read host memory
};

// All in bytes.
struct RankFootprint {
  int64_t weights = 0;
  int64_t weight_tables = 0;  // addresses of weights, where kernels do not read host memory
  int64_t workspace = 0;      // the decoder's buffers
  int64_t scratch_data = 0;  // the kernels' (KernelNeeds::scratch_bytes), one allocation: data, then counters
  int64_t scratch_counters = 0;
  StepAreas step;
  PeerNeeds peers;
  int64_t page = 0;  // one KV page, over the rank's layers

  int64_t scratch() const;
  // All but the KV cache.
  int64_t fixed() const;
};

// `manifest` is the rank's (ManifestOf).
RankFootprint RankFootprintOf(const RankSpec& spec, const WeightManifest& manifest,
                              const DeviceNeeds& device);

}  // namespace deeprack::sizing
