// gRPC credentials from ClusterTls. nullopt gives plain connections, for loopback only (CheckProtected).
//
// Each end checks the other end's certificates by RefusalOfPeer. A refusal is one line in the log, which says
// why; the same line comes once a minute at most, however often the peer tries.
#pragma once

#include <memory>
#include <optional>

#include "base/rpc/cluster_tls.h"
#include "grpcpp/grpcpp.h"

namespace deeprack {

// The server refuses clients without a certificate of the cluster's authority for kClusterName.
std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const std::optional<ClusterTls>& tls);

// The client refuses servers without a certificate for kClusterName, at any address. Adds a setting to
// `arguments`.
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const std::optional<ClusterTls>& tls,
                                                             grpc::ChannelArguments& arguments);

}  // namespace deeprack
