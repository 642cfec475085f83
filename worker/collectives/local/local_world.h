// Ranks as threads of one process: every parallel test runs on any machine, and one rank needs no MPI.
#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "worker/collectives/communicator.h"

namespace deeprack::worker {

// `size` communicators of one world; entry r is rank r's and is used by one thread at a time. They may be
// destroyed in any order, once no call of theirs is under way. `timeout` bounds every call, also on groups
// split from this one.
std::vector<std::unique_ptr<Communicator>> MakeLocalWorld(int size, absl::Duration timeout);

}  // namespace deeprack::worker
