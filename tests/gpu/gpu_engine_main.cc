// The engine's suite for cards (tests/unit/engine/card_engine_test.cc) on a real one. Ranks are threads of this
// process that share it, and meet through the host's memory.
#include <cstdio>
#include <cstdlib>

#include "gtest/gtest.h"
#include "tests/unit/engine/card.h"
#include "worker/device/cuda/cuda_device.h"

namespace deeprack::worker::testing {

std::unique_ptr<Device> MakeCard(GraphCounts*) {
  auto device = OpenCudaDevice(0, 2);
  if (device.ok()) return *std::move(device);
  std::fprintf(stderr, "%s\n", std::string(device.status().message()).c_str());
  std::_Exit(69);
}

}  // namespace deeprack::worker::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
