// Connections to all ranks of one epoch. Makes no decisions: it knows who is lost and ends calls to everyone
// then.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/rpc/cluster_tls.h"

namespace deeprack::coordinator {

// Where a rank serves, and what people call it.
struct WorkerAddress {
  std::string address;  // host:port
  std::string host;
  int64_t pid = 0;
};

class WorkerPool {
 public:
  // Entry r is rank r. Connects lazily; encrypted and authenticated when there is `tls`.
  static std::unique_ptr<WorkerPool> Create(std::vector<WorkerAddress> ranks,
                                            const std::optional<ClusterTls>& tls = std::nullopt);
  virtual ~WorkerPool() = default;

  virtual int size() const = 0;

  // A rank is gone: every call under way to any rank ends now, and every later one at once, with `why` (a
  // whole sentence that names the rank). The first loss counts. From any thread.
  virtual void Lose(const std::string& why) = 0;

  // OK, or Unavailable with what Lose was told.
  virtual absl::Status health() const = 0;

  // Asks every worker to end its process, and waits for their answers up to `timeout`; those that are gone
  // are skipped.
  virtual void StopWorkers(const std::string& reason, absl::Duration timeout) = 0;
};

}  // namespace deeprack::coordinator
