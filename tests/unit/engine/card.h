// The card that card_engine_test and hopper_engine_test run on: each program has its own.
#pragma once

#include <memory>

#include "worker/device/device.h"

namespace deeprack::worker::testing {

struct GraphCounts {
  bool counted = false;  // a real card does not count
  int recorded = 0;
  int replayed = 0;
};

// `counts`, if any, outlives the device. All its kernels are plain.
std::unique_ptr<Device> MakeCard(GraphCounts* counts);

// The same with every Hopper kernel that there is, proven or not; null: this card has none.
std::unique_ptr<Device> MakeHopperCard(GraphCounts* counts);

}  // namespace deeprack::worker::testing
