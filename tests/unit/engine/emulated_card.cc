#include "tests/unit/engine/card.h"
#include "tests/unit/engine/hopper_kernels.h"
#include "worker/device/emulated/emulated_device.h"

namespace deeprack::worker::testing {
namespace {

std::unique_ptr<Device> Make(GraphCounts* counts, const kernels::KernelSet& kernels) {
  if (counts == nullptr) return MakeEmulatedDevice(1, {}, kernels);
  counts->counted = true;
  return MakeEmulatedDevice(1,
                            {.graph_recorded = [counts] { ++counts->recorded; },
                             .graph_replayed = [counts] { ++counts->replayed; }},
                            kernels);
}

}  // namespace

std::unique_ptr<Device> MakeCard(GraphCounts* counts) { return Make(counts, kernels::CardKernels()); }

std::unique_ptr<Device> MakeHopperCard(GraphCounts* counts, std::string_view without) {
  return Make(counts, HopperKernels(without));
}

}  // namespace deeprack::worker::testing
