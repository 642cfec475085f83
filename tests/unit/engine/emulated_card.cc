#include "tests/unit/engine/card.h"
#include "worker/device/emulated/emulated_device.h"

namespace deeprack::worker::testing {

std::unique_ptr<Device> MakeCard(GraphCounts* counts) {
  if (counts == nullptr) return MakeEmulatedDevice(1, {});
  counts->counted = true;
  return MakeEmulatedDevice(1, {.graph_recorded = [counts] { ++counts->recorded; },
                                .graph_replayed = [counts] { ++counts->replayed; }});
}

}  // namespace deeprack::worker::testing
