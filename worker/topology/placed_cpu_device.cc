#include "worker/topology/placed_cpu_device.h"

#include <chrono>
#include <utility>
#include <vector>

#include "base/log.h"
#include "kernels/api/thread_pool.h"
#include "spdlog/spdlog.h"
#include "worker/device/cpu_device.h"
#include "worker/topology/hwloc_topology.h"

namespace deeprack::worker {
namespace {

// Threads with their own processors spin longer for the next operation than threads that share processors.
constexpr std::chrono::microseconds kSpinOfBoundThreads{200};

}  // namespace

std::unique_ptr<Device> MakePlacedCpuDevice(const PlacementRequest& request) {
  kernels::ThreadPoolOptions pool = {.threads = request.threads};
  auto topology = HwlocTopology::OfThisMachine();
  if (!topology.ok()) {
    spdlog::warn("threads and memory are not bound to processors and NUMA nodes: {}",
                 std::string(topology.status().message()));
    return MakeCpuDevice(pool);
  }
  const RankPlacement placement = PlaceRank(topology->machine(), request);
  spdlog::info("{}", Describe(placement, request));
  pool.processors = placement.processors;
  if (!pool.processors.empty()) pool.spin = kSpinOfBoundThreads;
  // An earlier load may have bound the thread. So without nodes, binds it to all allowed processors.
  const std::vector<int>& stays_on = placement.nodes.empty() ? request.allowed : placement.confined_to;
  if (!stays_on.empty()) {
    if (const absl::Status status = topology->ConfineThisThread(stays_on); !status.ok())
      spdlog::warn("{}", std::string(status.message()));
  }
  if (placement.nodes.empty()) return MakeCpuDevice(pool);
  auto place = [topology = std::make_shared<HwlocTopology>(*std::move(topology)), nodes = placement.nodes,
                warned = false](std::byte* data, int64_t bytes) mutable {
    const absl::Status status = topology->PlaceMemory(data, bytes, nodes);
    if (status.ok() || std::exchange(warned, true)) return;
    spdlog::warn(
        "{}: pages go to the node of the thread that first touches them; in a container, allow CAP_SYS_NICE",
        std::string(status.message()));
  };
  return MakeCpuDevice(pool, kernels::CpuKernels(), std::move(place));
}

}  // namespace deeprack::worker
