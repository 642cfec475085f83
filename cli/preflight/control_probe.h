// Latency and bandwidth of the control plane: gRPC with the cluster's certificates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/rpc/cluster_tls.h"
#include "proto/preflight.grpc.pb.h"

namespace deeprack::cli {

inline constexpr uint32_t kLargestReplyBytes = 1 << 20;

class EchoService final : public preflight::Echo::Service {
 public:
  grpc::Status Send(grpc::ServerContext* context, const preflight::Payload* request,
                    preflight::Payload* response) override;
};

// A channel to host:port, with the cluster's certificates if there are any.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address, const std::optional<ClusterTls>& tls);

// Measures the way to the Echo service at `address`. With a deeprack-coordinator there in place of an Echo
// service, the rates are 0. Unavailable: nothing answers within `patience`, or the certificates are refused.
absl::StatusOr<preflight::ControlFigures> MeasureControl(const std::string& address,
                                                         const std::optional<ClusterTls>& tls,
                                                         absl::Duration patience);

}  // namespace deeprack::cli
