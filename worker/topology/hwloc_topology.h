// The machine as hwloc sees it, and binding to parts of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/topology/machine.h"

namespace deeprack::worker {

class HwlocTopology {
 public:
  // This machine, less what the cgroup of this process is denied. Internal: hwloc cannot tell.
  static absl::StatusOr<HwlocTopology> OfThisMachine();
  // One that is described in hwloc's words ("numa:2 core:4 pu:2"); nothing can be bound to it.
  static absl::StatusOr<HwlocTopology> Synthetic(const std::string& description);

  // Nodes without processors of their own (fast or far memory beside a node's) are left out.
  Machine machine() const;

  // Pages of `data` that are touched from now on come from `node`, from elsewhere only when it has none left;
  // or from `nodes` by turns. FailedPrecondition with the system's reason: they will come from anywhere.
  absl::Status PlaceMemory(std::byte* data, int64_t bytes, const std::vector<int>& nodes) const;

  // The calling thread, and those that it starts. Errors as above.
  absl::Status ConfineThisThread(const std::vector<int>& processors) const;

 private:
  struct Destroy {
    void operator()(void* topology) const;
  };
  explicit HwlocTopology(void* topology) : topology_(topology) {}

  std::unique_ptr<void, Destroy> topology_;  // hwloc_topology_t, whose header stays out of this one
};

}  // namespace deeprack::worker
