// The rpc Attach over gRPC: one stream per worker, for the worker's life. Internal to membership/.
#pragma once

#include <string>

#include "coordinator/membership/attach_handler.h"
#include "proto/cluster.grpc.pb.h"

namespace deeprack::coordinator {

class AttachService final : public cluster::Membership::CallbackService {
 public:
  // Refuses workers of another `version`, and without has_tls workers that serve beyond loopback. `handler`
  // outlives the service's server.
  AttachService(std::string version, bool has_tls, AttachHandler* handler);

  grpc::ServerBidiReactor<cluster::WorkerMessage, cluster::CoordinatorMessage>* Attach(
      grpc::CallbackServerContext* context) override;

 private:
  const std::string version_;
  const bool has_tls_;
  AttachHandler* const handler_;
};

}  // namespace deeprack::coordinator
