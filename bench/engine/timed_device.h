// A device whose kernels are timed (operation_times.h). All other calls go to the wrapped device.
#pragma once

#include <memory>

#include "bench/engine/operation_times.h"
#include "worker/device/device.h"

namespace deeprack::bench {

// `times` outlives the device. Only for devices that share the host's memory, whose operations end before
// they return.
std::unique_ptr<worker::Device> MakeTimedDevice(std::unique_ptr<worker::Device> device,
                                                OperationTimes* times);

}  // namespace deeprack::bench
