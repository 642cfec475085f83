// Checks of the communicator's contract. All ranks of a group run the same check at once. local_world_test.cc
// (threads), mpi_world_test.cc (processes) and gloo_world_test.cc (threads with sockets) call all of them.
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

// These checks break the group.
void CheckDeadlineWhenOneStaysAway(Communicator& group, int absent);
void CheckAbortFromAnotherThread(Communicator& group);

}  // namespace deeprack::worker
