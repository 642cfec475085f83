// The card that card_engine_test and hopper_engine_test run on: each program has its own.
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
  bool counted = false;  // a real card does not count
  int recorded = 0;
  int replayed = 0;
};

// `counts`, if any, outlives the device. All its kernels are plain.
std::unique_ptr<Device> MakeCard(GraphCounts* counts);

// The same with every Hopper kernel that there is, proven or not, but for the one named `without`; null: this
// card has none.
std::unique_ptr<Device> MakeHopperCard(GraphCounts* counts, std::string_view without = {});

// What is left of `kernels` without the one of this name.
inline std::vector<kernels::SpecialKernel> Without(std::string_view name,
                                                   std::span<const kernels::SpecialKernel> kernels) {
  std::vector<kernels::SpecialKernel> left;
  std::copy_if(kernels.begin(), kernels.end(), std::back_inserter(left),
               [&](const kernels::SpecialKernel& kernel) { return kernel.name != name; });
  return left;
}

}  // namespace deeprack::worker::testing
