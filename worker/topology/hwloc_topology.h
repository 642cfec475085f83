// Reads the machine's topology with hwloc and binds threads and memory to parts of it.
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
  // This machine without the parts that this process's cgroup denies. Internal: hwloc cannot read the
  // topology.
  static absl::StatusOr<HwlocTopology> OfThisMachine();
  // A topology from a description in hwloc's syntax ("numa:2 core:4 pu:2"). Binding does not work with it.
  static absl::StatusOr<HwlocTopology> Synthetic(const std::string& description);

  // The nodes that have processors. NUMA nodes with memory only are left out.
  Machine machine() const;

  // Pages of `data` that are touched from now on come from `nodes`: from one node as long as it has free
  // memory, or from several nodes in turn. FailedPrecondition, with the system's reason: the pages may come
  // from any node.
  absl::Status PlaceMemory(std::byte* data, int64_t bytes, const std::vector<int>& nodes) const;

  // Binds the calling thread, and threads that it starts later, to `processors`. FailedPrecondition, with the
  // system's reason: not bound.
  absl::Status ConfineThisThread(const std::vector<int>& processors) const;

 private:
  struct Destroy {
    void operator()(void* topology) const;
  };
  explicit HwlocTopology(void* topology) : topology_(topology) {}

  std::unique_ptr<void, Destroy> topology_;  // hwloc_topology_t; hwloc.h is not included here
};

}  // namespace deeprack::worker
