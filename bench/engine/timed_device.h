// A device whose kernels are timed (operation_times.h); everything else is the device's that it is made of.
#pragma once

#include <memory>

#include "bench/engine/operation_times.h"
#include "worker/device/device.h"

namespace deeprack::bench {

// `times` outlives the device. For devices that share the host's memory: their operations end before they
// return.
std::unique_ptr<worker::Device> MakeTimedDevice(std::unique_ptr<worker::Device> device,
                                                OperationTimes* times);

}  // namespace deeprack::bench
