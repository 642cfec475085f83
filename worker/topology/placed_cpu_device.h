// A rank's processor and memory: a CPU device whose threads and mappings are where the rank is placed.
#pragma once

#include <memory>

#include "worker/device/device.h"
#include "worker/topology/rank_placement.h"

namespace deeprack::worker {

// Places the rank on this machine, says so in the log, and makes its device. The calling thread is the one
// that will use it: it is confined to the rank's NUMA nodes. What cannot be had is logged and done without.
std::unique_ptr<Device> MakePlacedCpuDevice(const PlacementRequest& request);

}  // namespace deeprack::worker
