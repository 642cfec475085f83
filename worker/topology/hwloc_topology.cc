#include "worker/topology/hwloc_topology.h"

#include <hwloc.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace deeprack::worker {
namespace {

hwloc_topology_t From(void* topology) { return static_cast<hwloc_topology_t>(topology); }

struct FreeBitmap {
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreeBitmap>;

Bitmap BitmapOf(const std::vector<int>& numbers) {
  Bitmap bitmap(hwloc_bitmap_alloc());
  for (const int number : numbers) hwloc_bitmap_set(bitmap.get(), static_cast<unsigned>(number));
  return bitmap;
}

std::vector<int> NumbersOf(hwloc_const_bitmap_t bitmap) {
  std::vector<int> numbers;
  for (int i = hwloc_bitmap_first(bitmap); i >= 0; i = hwloc_bitmap_next(bitmap, i)) numbers.push_back(i);
  return numbers;
}

// The cores of `node`. If the system does not tell cores, each processor counts as a core.
std::vector<std::vector<int>> CoresOf(hwloc_topology_t topology, hwloc_obj_t node) {
  std::vector<std::vector<int>> cores;
  for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_inside_cpuset_by_type(
                                        topology, node->cpuset, HWLOC_OBJ_CORE, core)) != nullptr;) {
    cores.push_back(NumbersOf(core->cpuset));
  }
  if (!cores.empty()) return cores;
  for (const int processor : NumbersOf(node->cpuset)) cores.push_back({processor});
  return cores;
}

}  // namespace

void HwlocTopology::Destroy::operator()(void* topology) const { hwloc_topology_destroy(From(topology)); }

absl::StatusOr<HwlocTopology> HwlocTopology::OfThisMachine() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) return absl::InternalError("hwloc cannot be started");
  HwlocTopology result(topology);
  if (hwloc_topology_load(topology) != 0) {
    return absl::InternalError(
        absl::StrCat("hwloc cannot read this machine's topology (", std::strerror(errno), ")"));
  }
  return result;
}

absl::StatusOr<HwlocTopology> HwlocTopology::Synthetic(const std::string& description) {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) return absl::InternalError("hwloc cannot be started");
  HwlocTopology result(topology);
  if (hwloc_topology_set_synthetic(topology, description.c_str()) != 0 ||
      hwloc_topology_load(topology) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("hwloc does not understand '", description, "'"));
  }
  return result;
}

Machine HwlocTopology::machine() const {
  const hwloc_topology_t topology = From(topology_.get());
  Machine machine;
  const Bitmap taken(hwloc_bitmap_alloc());
  for (hwloc_obj_t node = nullptr;
       (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    if (hwloc_bitmap_iszero(node->cpuset) || hwloc_bitmap_intersects(node->cpuset, taken.get())) continue;
    hwloc_bitmap_or(taken.get(), taken.get(), node->cpuset);
    machine.nodes.push_back({.number = static_cast<int>(node->os_index), .cores = CoresOf(topology, node)});
  }
  return machine;
}

absl::Status HwlocTopology::PlaceMemory(std::byte* data, int64_t bytes, const std::vector<int>& nodes) const {
  const Bitmap set = BitmapOf(nodes);
  const hwloc_membind_policy_t policy = nodes.size() > 1 ? HWLOC_MEMBIND_INTERLEAVE : HWLOC_MEMBIND_BIND;
  if (hwloc_set_area_membind(From(topology_.get()), data, static_cast<size_t>(bytes), set.get(), policy,
                             HWLOC_MEMBIND_BYNODESET) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("memory cannot be bound to NUMA nodes (", std::strerror(errno), ")"));
  }
  return absl::OkStatus();
}

absl::Status HwlocTopology::ConfineThisThread(const std::vector<int>& processors) const {
  const Bitmap set = BitmapOf(processors);
  if (hwloc_set_cpubind(From(topology_.get()), set.get(), HWLOC_CPUBIND_THREAD) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("threads cannot be bound to processors (", std::strerror(errno), ")"));
  }
  return absl::OkStatus();
}

}  // namespace deeprack::worker
