// Runs the engine's suites for cards (tests/unit/engine: card_engine_test.cc, hopper_engine_test.cc) on a
// real card. Ranks are threads of this process that share the card and exchange data through the host's
// memory.
#include <cstdio>
#include <cstdlib>

#include "gtest/gtest.h"
#include "tests/unit/engine/card.h"
#include "worker/device/cuda/cuda_device.h"

namespace deeprack::worker::testing {

namespace {

template <class T>
T Need(absl::StatusOr<T> made) {
  if (made.ok()) return *std::move(made);
  std::fprintf(stderr, "%s\n", std::string(made.status().message()).c_str());
  std::_Exit(69);
}

}  // namespace

std::unique_ptr<Device> MakeCard(GraphCounts*) { return Need(OpenCudaDevice(0, 2)); }

std::unique_ptr<Device> MakeHopperCard(GraphCounts*, std::string_view without) {
  const kernels::KernelChoice choice =
      kernels::ChooseUnverifiedToo(Need(PropertiesOfCard(0)), Without(without, kernels::SpecialKernels()));
  return choice.used.empty() ? nullptr : Need(OpenCudaDevice(0, 2, choice));
}

}  // namespace deeprack::worker::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
