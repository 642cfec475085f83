// The Hopper kernels, proven or not, for an emulated card.
#pragma once

#include "kernels/api/card_kernels.h"
#include "tests/unit/engine/card.h"

namespace deeprack::worker::testing {

// All kernels but the kernel named `without`.
inline kernels::KernelSet HopperKernels(std::string_view without = {}) {
  const kernels::CardProperties hopper = {.name = "an emulated card", .major = 9, .minor = 0};
  return kernels::CardKernels(
      kernels::ChooseUnverifiedToo(hopper, Without(without, kernels::SpecialKernels())));
}

}  // namespace deeprack::worker::testing
