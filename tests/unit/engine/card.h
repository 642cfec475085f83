// The card on which card_engine_test and hopper_engine_test run. Each program has its own.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/api/card_kernels.h"
#include "worker/device/device.h"

namespace deeprack::worker::testing {

struct GraphCounts {
  bool counted = false;  // a real card does not count kernels
  int recorded = 0;
  int replayed = 0;
};

// A card whose kernels are all plain. `counts` may be null; otherwise it must outlive the device.
std::unique_ptr<Device> MakeCard(GraphCounts* counts);

// A card with every Hopper kernel, proven or not, but for the kernel named `without`. Null: the card cannot
// run Hopper kernels.
std::unique_ptr<Device> MakeHopperCard(GraphCounts* counts, std::string_view without = {});

// `kernels` without the kernel of this name.
inline std::vector<kernels::SpecialKernel> Without(std::string_view name,
                                                   std::span<const kernels::SpecialKernel> kernels) {
  std::vector<kernels::SpecialKernel> left;
  std::copy_if(kernels.begin(), kernels.end(), std::back_inserter(left),
               [&](const kernels::SpecialKernel& kernel) { return kernel.name != name; });
  return left;
}

}  // namespace deeprack::worker::testing
