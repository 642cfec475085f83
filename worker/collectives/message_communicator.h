// The communicator over messages from point to point. A group is a list of ranks of the transport's world and
// a pair of tags. The collectives of MPI and gloo are not used: their order of addition depends on the size,
// and a call of theirs cannot be cancelled.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"
#include "worker/collectives/message_transport.h"

namespace deeprack::worker {

// The communicator of all ranks of the transport's world. Collective over the world, whose ranks call this in
// the same order. Aborted: the transport is broken.
absl::StatusOr<std::unique_ptr<Communicator>> MakeMessageCommunicator(
    std::shared_ptr<MessageTransport> transport, absl::Duration timeout);

}  // namespace deeprack::worker
