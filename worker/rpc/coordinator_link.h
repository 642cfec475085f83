// This worker's stream to the coordinator: Hello, heartbeats, and the news when the coordinator goes away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/rpc/cluster_tls.h"

namespace deeprack::worker {

// Who this worker is; the fields of Hello in cluster.proto.
struct WorkerIdentity {
  std::string version;
  std::string address;  // where this worker serves; ":port": at the address it comes from
  int32_t launch_rank = -1;
  int32_t launch_world = 1;
  std::string host;
  int64_t pid = 0;
  std::string backend;
  std::string card;
  bool nccl = false;
};

struct Pulse {
  uint64_t steps_finished = 0;
  bool busy = false;
};

class CoordinatorLink {
 public:
  // Waits up to connect_timeout for the coordinator to listen, then says hello. Unavailable: nobody listens
  // there. `pulse` is asked several times a second. `on_end` is called at most once, unless Leave came first,
  // with the reason: Unavailable (the coordinator went away), Aborted (the worker's epoch is over, and its
  // world of ranks with it) or the status with which it was turned down.
  static absl::StatusOr<std::unique_ptr<CoordinatorLink>> Attach(
      const std::string& coordinator, const std::optional<ClusterTls>& tls, const WorkerIdentity& identity,
      absl::Duration connect_timeout, std::function<Pulse()> pulse, std::function<void(absl::Status)> on_end);
  virtual ~CoordinatorLink() = default;  // leaves, if that was not done

  // Says goodbye and closes the stream; bounded. After it on_end is not called.
  virtual void Leave(const std::string& reason) = 0;
};

}  // namespace deeprack::worker
