// Ranks as processes started by one mpirun (OpenMPI). CPU ranks exchange data this way.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/collectives/communicator.h"

namespace deeprack::worker {

// This process's rank in the launch, from environment variables that mpirun sets. Does not call MPI.
struct LaunchWorld {
  int rank = -1;  // -1: not started by mpirun
  int size = 1;
};
LaunchWorld DetectLaunchWorld();

// The communicator of all processes of this mpirun. The first call initialises MPI. All ranks may call it
// again, for a world with another timeout. Aborted: a world was broken before, and lost processes do not
// return. Call it from one thread at a time. Use the communicators from one thread each, and only one of them
// at a time (MPI runs as MPI_THREAD_SERIALIZED); Abort may be called at any time.
absl::StatusOr<std::unique_ptr<Communicator>> JoinMpiWorld(absl::Duration timeout);

// Ends MPI, if it was initialised, before the process ends with exit_code. If peers do not call MPI_Finalize
// within seconds, for example after a broken world, this function ends the process with exit_code and does
// not return.
void LeaveMpi(int exit_code);

}  // namespace deeprack::worker
