// What every communicator must do, as checks that each rank of a group runs side by side. One suite for
// threads and processes: local_world_test.cc and mpi_world_test.cc call them all.
#pragma once

#include "base/dtype.h"
#include "worker/collectives/communicator.h"

namespace deeprack::worker {

void CheckSumsInRankOrder(Communicator& group, DType type);
void CheckSumDoesNotDependOnPlace(Communicator& group);
void CheckAllGather(Communicator& group);
void CheckAllGatherV(Communicator& group);
void CheckAllToAllV(Communicator& group);
void CheckSendAndReceiveKeepOrder(Communicator& group);
void CheckSplit(Communicator& group);
void CheckManySmallCalls(Communicator& group);

// These leave the group broken.
void CheckDeadlineWhenOneStaysAway(Communicator& group, int absent);
void CheckAbortFromAnotherThread(Communicator& group);

}  // namespace deeprack::worker
