// Lets ranks meet whose buffers are a device's memory, through a communicator of host memory: buffers pass
// through pinned memory on both sides. For cards without NCCL between them, and for ranks that share one.
#pragma once

#include <memory>

#include "worker/collectives/communicator.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// Every call waits for what is queued on the device before its data can leave; what it received is queued
// behind. Its staging memory grows to the largest exchange.
std::unique_ptr<Communicator> MakeStagedCommunicator(std::shared_ptr<Device> device,
                                                     std::unique_ptr<Communicator> host);

}  // namespace deeprack::worker
