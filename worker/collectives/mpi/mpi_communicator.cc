// JoinMpiWorld: a MessageCommunicator over MPI_COMM_WORLD.
#include "base/status_macros.h"
#include "worker/collectives/message_communicator.h"
#include "worker/collectives/mpi/mpi_runtime.h"
#include "worker/collectives/mpi/mpi_world.h"

namespace deeprack::worker {

absl::StatusOr<std::unique_ptr<Communicator>> JoinMpiWorld(absl::Duration timeout) {
  MpiRuntime& mpi = MpiRuntime::Get();
  DR_RETURN_IF_ERROR(mpi.Begin());
  // The runtime lives as long as the process.
  return MakeMessageCommunicator(std::shared_ptr<MessageTransport>(&mpi, [](MessageTransport*) {}), timeout);
}

}  // namespace deeprack::worker
