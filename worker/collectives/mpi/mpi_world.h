// Ranks as processes started by one mpirun (OpenMPI). The data plane of CPU ranks.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"

namespace deeprack::worker {

// This process's place in the world of the launcher, from the environment that mpirun sets; MPI is not
// called.
struct LaunchWorld {
  int rank = -1;  // -1: not started by mpirun
  int size = 1;
};
LaunchWorld DetectLaunchWorld();

// The communicator of all processes of this mpirun. Initialises MPI at the first call. May be called again
// (by all ranks alike) for a world with another timeout, unless one was broken: then Aborted, as lost
// processes do not come back. Must be called from one thread at a time; the communicators from one thread
// each, one at a time (MPI runs as MPI_THREAD_SERIALIZED), but for Abort.
absl::StatusOr<std::unique_ptr<Communicator>> JoinMpiWorld(absl::Duration timeout);

// Ends MPI, if it was begun, before the process ends with exit_code. When peers do not come to MPI_Finalize
// within seconds, as after a broken world, this does not return: it ends the process with exit_code itself.
void LeaveMpi(int exit_code);

}  // namespace deeprack::worker
