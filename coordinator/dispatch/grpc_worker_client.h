// Connections to workers over gRPC.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rpc/cluster_tls.h"
#include "coordinator/dispatch/worker_pool.h"

namespace deeprack::coordinator {

// The address at which a rank serves, and the rank's process.
struct WorkerAddress {
  std::string address;  // host:port
  std::string host;
  int64_t pid = 0;
};

// Entry r is rank r. A connection is made by its first call. With `tls`, connections are encrypted and both
// ends are authenticated.
std::unique_ptr<WorkerPool> ConnectWorkers(const std::vector<WorkerAddress>& ranks,
                                           const std::optional<ClusterTls>& tls = std::nullopt);

}  // namespace deeprack::coordinator
