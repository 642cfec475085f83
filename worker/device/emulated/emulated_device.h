// A card that is none: the CUDA kernels' own source, run on the host by kernels/cuda/emulator. For tests of
// everything that is to work on a card: in no program.
//
// It is as strict as a card, or stricter. Kernels and copies run only when somebody waits for them, so a
// result that is read, or an input that is overwritten, too early is wrong; what a copy to the host will fill
// is poisoned until then. And the device's memory cannot be touched by the host at all: outside of its own
// kernels and copies such an access ends the program.
#pragma once

#include <functional>
#include <memory>

#include "kernels/api/card_kernels.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// What a test may want to know of; each may be empty.
struct EmulatedDeviceEvents {
  std::function<void()> graph_recorded;
  std::function<void()> graph_replayed;
};

// `threads` of the host for work on host memory; `kernels` that were built for the host.
std::unique_ptr<Device> MakeEmulatedDevice(int threads, EmulatedDeviceEvents events,
                                           const kernels::KernelSet& kernels = kernels::CardKernels());

}  // namespace deeprack::worker
