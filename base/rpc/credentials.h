// gRPC's side of ClusterTls. Without one, connections are plain: for loopback (CheckProtected).
#pragma once

#include <memory>
#include <optional>

#include "base/rpc/cluster_tls.h"
#include "grpcpp/grpcpp.h"

namespace deeprack {

// A server that turns away whoever has no certificate of the cluster's authority.
std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const std::optional<ClusterTls>& tls);

// A client that turns away a server that is not `kClusterName`, whatever its address. Adds to `arguments`.
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const std::optional<ClusterTls>& tls,
                                                             grpc::ChannelArguments& arguments);

}  // namespace deeprack
