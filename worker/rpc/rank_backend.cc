#include "worker/rpc/rank_backend.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "kernels/api/card_kernels.h"
#include "kernels/api/thread_pool.h"
#include "spdlog/spdlog.h"
#include "worker/collectives/gloo/gloo_world.h"
#include "worker/collectives/local/local_world.h"
#include "worker/collectives/nccl/nccl_world.h"
#include "worker/collectives/staged/staged_communicator.h"
#include "worker/device/cpu_device.h"
#include "worker/device/cuda/cuda_device.h"
#include "worker/rpc/meeting_host.h"
#include "worker/topology/placed_cpu_device.h"

namespace deeprack::worker {
namespace {

using Joined = absl::StatusOr<std::unique_ptr<Communicator>>;

// The ends of worlds over gloo that NewWorld has opened and Load has not joined yet: at most one, of the
// latest epoch. Thread-safe.
class GlooEnds {
 public:
  absl::StatusOr<std::string> Open(const std::string& host, const WorldOpening& opening) {
    DR_ASSIGN_OR_RETURN(std::unique_ptr<GlooEnd> end, OpenGlooWorld(host, opening.rank, opening.size));
    std::string address = end->address();
    const std::lock_guard lock(mutex_);
    if (end_ != nullptr && epoch_ > opening.epoch) {
      return absl::AbortedError(absl::StrCat("epoch ", opening.epoch, " is over"));
    }
    epoch_ = opening.epoch;
    end_.swap(end);
    return address;
  }

  // Null: no end of that epoch is open.
  std::unique_ptr<GlooEnd> Take(Epoch epoch) {
    const std::lock_guard lock(mutex_);
    return epoch_ == epoch ? std::move(end_) : nullptr;
  }

 private:
  std::mutex mutex_;
  Epoch epoch_ = 0;
  std::unique_ptr<GlooEnd> end_;
};

// The worlds that exchange host memory.
class HostWorlds {
 public:
  explicit HostWorlds(const BackendChoice& choice)
      : launch_(choice.launch), listen_(choice.listen), coordinator_(choice.coordinator) {}

  // A launcher's ranks meet over MPI.
  bool gloo() const { return launch_.rank < 0; }

  // Joins the world over gloo, the launcher's world, or makes a world of one rank.
  Joined Join(const WorldRequest& world) {
    if (!world.meeting.gloo_world.empty()) {
      std::unique_ptr<GlooEnd> end = ends_.Take(world.epoch);
      if (end == nullptr) {
        return absl::FailedPreconditionError(
            absl::StrCat("this worker has opened no world over gloo for epoch ", world.epoch));
      }
      return JoinGlooWorld(std::move(end), world.meeting.gloo_world, world.timeout, world.given_up);
    }
    if (launch_.size > 1) return JoinMpiWorld(world.timeout);
    return std::move(MakeLocalWorld(1, world.timeout).front());
  }

  // Opens this rank's end of a world over gloo.
  absl::StatusOr<std::string> Open(const WorldOpening& opening) {
    if (opening.over != "gloo" || !gloo()) {
      return absl::FailedPreconditionError(
          absl::StrCat("this worker does not meet others over '", opening.over, "'"));
    }
    DR_ASSIGN_OR_RETURN(const std::string host, MeetingHost(listen_, coordinator_));
    return ends_.Open(host, opening);
  }

 private:
  const LaunchWorld launch_;
  const std::string listen_, coordinator_;
  GlooEnds ends_;
};

// ResourceExhausted: the system refuses a thread.
absl::StatusOr<std::unique_ptr<Device>> CpuOf(const BackendChoice& choice, const std::vector<int>& allowed,
                                              int threads) {
  threads = std::max(threads, 1);
  try {
    if (!choice.bind_threads) return MakeCpuDevice(threads);
    return MakePlacedCpuDevice({.allowed = allowed,
                                .local_rank = choice.local_rank,
                                .local_ranks = choice.local_ranks,
                                .threads = threads});
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system refuses this rank's ", threads, " threads (", error.code().message(),
                     "): raise the limit of processes or of memory, or ask for fewer with --threads"));
  }
}

absl::StatusOr<std::unique_ptr<Engine>> CreateOnCpu(const BackendChoice& choice,
                                                    const std::vector<int>& allowed,
                                                    const EngineOptions& options, Communicator* world,
                                                    const Engine::Progress& progress) {
  DR_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, CpuOf(choice, allowed, options.threads));
  return Engine::Create(options, std::move(device), world, progress);
}

RankBackend OnCpu(const BackendChoice& choice) {
  const auto worlds = std::make_shared<HostWorlds>(choice);
  return {.name = "cpu",
          .card = {},
          .join = [worlds](const WorldRequest& world) { return worlds->Join(world); },
          .create =
              // Read here, before any thread of the process is bound to processors.
          [choice, allowed = kernels::AllowedProcessors()](const EngineOptions& options, Communicator* world,
                                                           const Engine::Progress& progress) {
            return CreateOnCpu(choice, allowed, options, world, progress);
          },
          .gloo = worlds->gloo(),
          .new_world = [worlds](const WorldOpening& opening) { return worlds->Open(opening); }};
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
  const auto worlds = std::make_shared<HostWorlds>(choice);
  return RankBackend{.name = "cuda",
                     .card = name,
                     .join = [open, index, worlds, kernels](const WorldRequest& world) -> Joined {
                       std::shared_ptr<Device> device = open->lock();
                       if (device == nullptr) {
                         DR_ASSIGN_OR_RETURN(device,
                                             OpenCudaDevice(index, std::max(world.threads, 1), kernels));
                         *open = device;
                       }
                       if (!world.meeting.nccl_world.empty()) {
                         return JoinNcclWorld(world.meeting.nccl_world, world.rank, world.size,
                                              std::move(device), world.timeout);
                       }
                       DR_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> host, worlds->Join(world));
                       return MakeStagedCommunicator(std::move(device), std::move(host));
                     },
                     .create =
                         [open, graphs = choice.decode_graphs](EngineOptions options, Communicator* world,
                                                               const Engine::Progress& progress) {
                           options.decode_graphs = graphs;
                           return Engine::Create(options, open->lock(), world, progress);
                         },
                     .nccl = true,
                     .gloo = worlds->gloo(),
                     .new_world =
                         [worlds](const WorldOpening& opening) {
                           return opening.over == "nccl" ? NewNcclWorldId() : worlds->Open(opening);
                         }};
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
