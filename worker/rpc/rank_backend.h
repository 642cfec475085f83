// The device on which a worker's rank computes and the way it meets its peers, from the settings and the
// machine.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/collectives/mpi/mpi_world.h"
#include "worker/rpc/engine_thread.h"
#include "worker/rpc/worker_service.h"

namespace deeprack::worker {

struct RankBackend {
  std::string name;  // cpu, cuda
  std::string card;  // as in WorkerIdentity
  JoinWorld join;
  CreateEngine create;
  bool nccl = false;        // as in WorkerIdentity
  bool gloo = false;        // as in WorkerIdentity
  NewWorldMaker new_world;  // as in WorkerNodeOptions
};

struct BackendChoice {
  std::string backend = "auto";  // auto: cuda where there is a card, else cpu
  int card = -1;                 // -1: the launcher's rank on this machine, modulo its cards
  LaunchWorld launch;
  // As in WorkerNodeOptions. A rank without a launcher meets others at MeetingHost of these two.
  std::string listen, coordinator;
  int local_rank = 0;  // among this launch's local_ranks on this machine
  int local_ranks = 1;
  bool bind_threads = true;    // binds threads and memory: MakePlacedCpuDevice
  bool decode_graphs = false;  // EngineOptions', on a card
  // For developers: kernels that suit the card and have not passed `make gpu-check` on one.
  bool unverified_kernels = false;
};

// Logs the choice. InvalidArgument: no such backend. FailedPrecondition: cuda without a card, a driver or a
// build for it.
absl::StatusOr<RankBackend> ChooseBackend(const BackendChoice& choice);

}  // namespace deeprack::worker
