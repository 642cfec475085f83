// The rpc Attach: one stream per worker, for the worker's life. Internal to membership/.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/placement/placement.h"
#include "proto/cluster.grpc.pb.h"

namespace deeprack::coordinator {

// The coordinator's end of one worker's stream. Owned by gRPC.
class AttachStream {
 public:
  virtual ~AttachStream() = default;
  virtual void Welcome(Rank rank, Epoch epoch) = 0;  // to each epoch
};

// What the streams tell; called from gRPC's threads.
class AttachHandler {
 public:
  virtual ~AttachHandler() = default;
  // A member number, or the reason for which this worker is turned down. `stream` may be used until OnEnd
  // returns.
  virtual absl::StatusOr<int> OnHello(const JoinedNode& node, AttachStream* stream) = 0;
  // Not OK: the stream ends with that.
  virtual absl::Status OnHeartbeat(int member, uint64_t steps_finished, bool busy) = 0;
  // on_purpose: the worker said goodbye.
  virtual void OnEnd(int member, const std::string& why, bool on_purpose) = 0;
};

class AttachService final : public cluster::Membership::CallbackService {
 public:
  // Workers of another `version` are turned down, and those that serve beyond loopback unless has_tls.
  // `handler` outlives the service's server.
  AttachService(std::string version, bool has_tls, AttachHandler* handler);

  grpc::ServerBidiReactor<cluster::WorkerMessage, cluster::CoordinatorMessage>* Attach(
      grpc::CallbackServerContext* context) override;

 private:
  const std::string version_;
  const bool has_tls_;
  AttachHandler* const handler_;
};

}  // namespace deeprack::coordinator
