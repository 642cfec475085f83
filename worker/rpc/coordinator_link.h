// This worker's stream to the coordinator: Hello, heartbeats, and a callback when the coordinator goes away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/rpc/cluster_tls.h"
#include "worker/topology/machine_report.h"

namespace deeprack::worker {

// The fields of Hello in cluster.proto.
struct WorkerIdentity {
  std::string version;
  std::string
      address;  // of this worker's service; ":port": the coordinator takes the host from the connection
  int32_t launch_rank = -1;
  int32_t launch_world = 1;
  std::string host;
  int64_t pid = 0;
  std::string backend;
  std::string card;
  bool nccl = false;
  bool gloo = false;
  Epoch last_epoch = 0;      // Kept: of the last Load; 0: none
  Rank kept_rank = -1;       // Kept: -1: no weights are in memory
  std::string kept_options;  // Kept
  MachineReport machine;
};

struct Pulse {
  uint64_t steps_finished = 0;
  bool busy = false;
};

class CoordinatorLink {
 public:
  // Waits up to connect_timeout, or until `given_up` returns true, for the coordinator to listen, and logs
  // each reason why the coordinator cannot be reached once. Then sends Hello. Unavailable: no coordinator
  // listens there. `pulse` is called several times a second. `on_end` is called at most once, and never after
  // Leave, with the reason why the link has ended: OK (the coordinator ended in order and has dismissed its
  // workers), Unavailable (the coordinator went away, or has answered nothing for 8 seconds), Aborted (the
  // worker's epoch is over, and with it its world of ranks), or the status with which the coordinator refused
  // the worker.
  static absl::StatusOr<std::unique_ptr<CoordinatorLink>> Attach(
      const std::string& coordinator, const std::optional<ClusterTls>& tls, const WorkerIdentity& identity,
      absl::Duration connect_timeout, const std::function<bool()>& given_up, std::function<Pulse()> pulse,
      std::function<void(const absl::Status&)> on_end);
  virtual ~CoordinatorLink() = default;  // calls Leave unless it was called

  // Sends Goodbye and closes the stream, within about a second. on_end is not called after this.
  virtual void Leave(const std::string& reason) = 0;
};

}  // namespace deeprack::worker
