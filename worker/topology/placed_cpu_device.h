// A CPU device whose threads and memory are bound where the rank is placed.
#pragma once

#include <memory>

#include "worker/device/device.h"
#include "worker/topology/rank_placement.h"

namespace deeprack::worker {

// Places the rank on this machine, logs the placement and makes the device. Only the calling thread may use
// the device; the thread is bound to the rank's NUMA nodes. If a binding fails, the function logs a warning
// and goes on without it.
std::unique_ptr<Device> MakePlacedCpuDevice(const PlacementRequest& request);

}  // namespace deeprack::worker
