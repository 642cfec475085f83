// A communicator for device memory that copies through pinned host memory and uses a communicator of host
// memory. For cards that NCCL does not connect, and for ranks that share a card.
#pragma once

#include <memory>

#include "worker/collectives/communicator.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// Every call waits for the work that is queued on the device and then sends. Copies of received data to the
// device are queued. The staging memory grows to the size of the largest exchange.
std::unique_ptr<Communicator> MakeStagedCommunicator(std::shared_ptr<Device> device,
                                                     std::unique_ptr<Communicator> host);

}  // namespace deeprack::worker
