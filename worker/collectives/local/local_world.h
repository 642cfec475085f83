// Ranks as threads of one process. So parallel tests run on any machine, and a single rank needs no MPI.
#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "worker/collectives/communicator.h"

namespace deeprack::worker {

// Makes the communicators of a world of `size` ranks; entry r belongs to rank r. Only one thread at a time
// may use a communicator. They may be destroyed in any order when no call is in progress. `timeout` bounds
// every call, also on groups split from this world.
std::vector<std::unique_ptr<Communicator>> MakeLocalWorld(int size, absl::Duration timeout);

}  // namespace deeprack::worker
