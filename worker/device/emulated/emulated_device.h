// An emulated card for tests: kernels/cuda/emulator runs the CUDA kernels' source on the host. No program
// includes it.
//
// The emulation is as strict as a card or stricter. Kernels and copies run only when the host waits for them,
// so a test fails when the host reads a result too early or overwrites an input too early. The host memory
// that a queued copy will fill is poisoned until then. The host cannot access the device's memory: any access
// outside of the device's kernels and copies ends the program.
#pragma once

#include <functional>
#include <memory>

#include "kernels/api/card_kernels.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// Called at events that tests count. Each may be empty.
struct EmulatedDeviceEvents {
  std::function<void()> graph_recorded;
  std::function<void()> graph_replayed;
};

// `threads`: threads of the host for work on host memory. `kernels` must have been built for the host.
std::unique_ptr<Device> MakeEmulatedDevice(int threads, EmulatedDeviceEvents events,
                                           const kernels::KernelSet& kernels = kernels::CardKernels());

}  // namespace deeprack::worker
