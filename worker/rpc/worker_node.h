// A worker process: its gRPC server, its stream to the coordinator and its engine thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/rpc/cluster_tls.h"
#include "worker/rpc/engine_thread.h"
#include "worker/rpc/worker_service.h"
#include "worker/topology/machine_report.h"

namespace deeprack::worker {

struct WorkerNodeOptions {
  std::string coordinator;  // host:port
  // host:port of this worker's service. Port 0: any. With every interface (0.0.0.0, ::) the coordinator takes
  // the host from the connection. "": any port, of 127.0.0.1 when the coordinator is on loopback, else of
  // every interface.
  std::string listen;
  std::optional<ClusterTls> tls;  // needed when one of the two addresses is not loopback
  std::string backend = "cpu";
  std::string card;         // as in WorkerIdentity
  bool nccl = false;        // as in WorkerIdentity
  bool gloo = false;        // as in WorkerIdentity
  MachineReport machine;    // as in WorkerIdentity
  NewWorldMaker new_world;  // WorkerService's event new_world
  int launch_rank = -1;     // -1: no launcher
  int launch_world = 1;
  int threads = 1;  // threads of the engine when the coordinator asks for 0
  absl::Duration connect_timeout = absl::Seconds(30);
  // How long this worker keeps its weights and waits for a coordinator at the same address, after the one it
  // was attached to has gone. Zero: it ends at once.
  absl::Duration coordinator_wait;
};

class WorkerNode {
 public:
  // Serves, then attaches to the coordinator. Errors: InvalidArgument (no address), FailedPrecondition (the
  // address is open to the network and tls is missing), Unavailable (the address cannot be bound; no
  // coordinator).
  static absl::StatusOr<std::unique_ptr<WorkerNode>> Start(const WorkerNodeOptions& options, JoinWorld join,
                                                           CreateEngine create);
  virtual ~WorkerNode() = default;  // leaves the cluster; waits for the engine thread to end

  // Blocks until the worker must end. Returns OK if RequestStop or the coordinator (by Stop, or by a
  // dismissal) asked for the end, otherwise the error. After a load that failed, the wait ends when the
  // coordinator ends the stream.
  //
  // A worker whose ranks can meet again (no launcher, one rank, or NCCL) does not end when the coordinator
  // goes away or ends the worker's epoch: it attaches again. It ends when its engine does not come to rest,
  // when the coordinator has dismissed it, or after coordinator_wait.
  virtual absl::Status WaitUntilEnd() = 0;

  // Can be called from any thread.
  virtual void RequestStop(const std::string& reason) = 0;

  // The status of the last Load; OK before the first. The program's exit code depends on it.
  virtual absl::Status load_status() const = 0;
};

}  // namespace deeprack::worker
