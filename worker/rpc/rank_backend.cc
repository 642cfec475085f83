#include "worker/rpc/rank_backend.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "kernels/api/card_kernels.h"
#include "kernels/api/thread_pool.h"
#include "spdlog/spdlog.h"
#include "worker/collectives/local/local_world.h"
#include "worker/collectives/nccl/nccl_world.h"
#include "worker/collectives/staged/staged_communicator.h"
#include "worker/device/cpu_device.h"
#include "worker/device/cuda/cuda_device.h"
#include "worker/topology/placed_cpu_device.h"

namespace deeprack::worker {
namespace {

using Joined = absl::StatusOr<std::unique_ptr<Communicator>>;

// Joins the launcher's world, or makes a world of one rank. The world exchanges host memory.
Joined JoinLaunched(const LaunchWorld& launch, absl::Duration timeout) {
  if (launch.size > 1) return JoinMpiWorld(timeout);
  return std::move(MakeLocalWorld(1, timeout).front());
}

std::unique_ptr<Device> CpuOf(const BackendChoice& choice, const std::vector<int>& allowed, int threads) {
  threads = std::max(threads, 1);
  if (!choice.bind_threads) return MakeCpuDevice(threads);
  return MakePlacedCpuDevice({.allowed = allowed,
                              .local_rank = choice.local_rank,
                              .local_ranks = choice.local_ranks,
                              .threads = threads});
}

RankBackend OnCpu(const BackendChoice& choice) {
  return {.name = "cpu",
          .card = {},
          .join = [launch = choice.launch](
                      const WorldRequest& world) { return JoinLaunched(launch, world.timeout); },
          .create =
              // Read here, before any thread of the process is bound to processors.
          [choice, allowed = kernels::AllowedProcessors()](const EngineOptions& options, Communicator* world,
                                                           const Engine::Progress& progress) {
            return Engine::Create(options, CpuOf(choice, allowed, options.threads), world, progress);
          },
          .new_world = {}};
}

absl::StatusOr<RankBackend> OnCard(const BackendChoice& choice) {
  DR_ASSIGN_OR_RETURN(const int cards, CountCards());
  const int index = choice.card >= 0 ? choice.card : choice.local_rank % cards;
  DR_ASSIGN_OR_RETURN(const kernels::CardProperties card, PropertiesOfCard(index));
  DR_ASSIGN_OR_RETURN(const std::string name, NameOfCard(index));
  const kernels::KernelChoice kernels = kernels::ChooseKernels(card, choice.unverified_kernels);
  spdlog::info("card {}: {}, compute capability {}.{}; {}", index, card.name, card.major, card.minor,
               kernels.Describe());
  if (choice.unverified_kernels && !kernels.used.empty()) {
    spdlog::warn(
        "card {}: kernels that have passed `make gpu-check` on no card are in "
        "use, and answers may be wrong. Serve nobody with this",
        index);
  }

  // Joining opens the card, because the world exchanges the card's memory. The engine then owns the open
  // card. When an engine joins again, its card is open already. All of this runs on the engine's thread.
  auto open = std::make_shared<std::weak_ptr<Device>>();
  const LaunchWorld launch = choice.launch;
  return RankBackend{
      .name = "cuda",
      .card = name,
      .join = [open, index, launch, kernels](const WorldRequest& world) -> Joined {
        std::shared_ptr<Device> device = open->lock();
        if (device == nullptr) {
          DR_ASSIGN_OR_RETURN(device, OpenCudaDevice(index, std::max(world.threads, 1), kernels));
          *open = device;
        }
        if (!world.nccl_world.empty()) {
          return JoinNcclWorld(world.nccl_world, world.rank, world.size, std::move(device), world.timeout);
        }
        DR_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> host, JoinLaunched(launch, world.timeout));
        return MakeStagedCommunicator(std::move(device), std::move(host));
      },
      .create =
          [open, graphs = choice.decode_graphs](EngineOptions options, Communicator* world,
                                                const Engine::Progress& progress) {
            options.decode_graphs = graphs;
            return Engine::Create(options, open->lock(), world, progress);
          },
      .new_world = NewNcclWorldId};
}

}  // namespace

absl::StatusOr<RankBackend> ChooseBackend(const BackendChoice& choice) {
  if (choice.backend == "cpu") return OnCpu(choice);
  if (choice.backend == "cuda") return OnCard(choice);
  if (choice.backend != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("backend '", choice.backend, "': use auto, cpu or cuda"));
  }
  if (const auto cards = CountCards(); !cards.ok()) {
    spdlog::debug("backend cpu: {}", std::string(cards.status().message()));
    return OnCpu(choice);
  }
  return OnCard(choice);
}

}  // namespace deeprack::worker
