// The card that card_engine_test runs on: each program has its own.
#pragma once

#include <memory>

#include "worker/device/device.h"

namespace deeprack::worker::testing {

struct GraphCounts {
  bool counted = false;  // a real card does not count
  int recorded = 0;
  int replayed = 0;
};

// `counts`, if any, outlives the device.
std::unique_ptr<Device> MakeCard(GraphCounts* counts);

}  // namespace deeprack::worker::testing
