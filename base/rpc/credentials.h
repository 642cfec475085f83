// gRPC credentials from ClusterTls. nullopt gives plain connections, for loopback only (CheckProtected).
#pragma once

#include <memory>
#include <optional>

#include "base/rpc/cluster_tls.h"
#include "grpcpp/grpcpp.h"

namespace deeprack {

// The server refuses clients without a certificate of the cluster's authority.
std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const std::optional<ClusterTls>& tls);

// The client refuses servers without a certificate for kClusterName, at any address. Adds a setting to
// `arguments`.
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const std::optional<ClusterTls>& tls,
                                                             grpc::ChannelArguments& arguments);

}  // namespace deeprack
