// deeprack-worker: one rank. mpirun starts it with the others, or each is started by itself. The
// coordinator sends the model, the layout and the limits.
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/control_group.h"
#include "base/exit_code.h"
#include "base/log.h"
#include "base/process_limits.h"
#include "base/rpc/cluster_tls.h"
#include "base/rpc/rpc_log.h"
#include "settings/command_line.h"
#include "settings/settings.h"
#include "spdlog/spdlog.h"
#include "worker/collectives/mpi/mpi_world.h"
#include "worker/rpc/rank_backend.h"
#include "worker/rpc/worker_node.h"
#include "worker/weights/packed_options.h"

namespace {

using namespace deeprack;
using namespace deeprack::worker;

// An engine in a load or a step cannot be interrupted. The process ends without waiting longer than this for
// the engine.
constexpr auto kEndWithin = std::chrono::seconds(5);

int FromLauncher(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) && value >= 0 ? value : otherwise;
}

// Blocks SIGTERM and SIGINT in every thread. One thread waits for them (StopOnSignal).
sigset_t BlockEndingSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// What a signal ends.
enum class Stage {
  kStarting,  // the process, which has attached to no coordinator yet
  kRunning,   // the node
  kEnding     // nothing: the process ends already
};

// From now on a signal ends what `stage` says; `node` is set in kRunning. The first call starts the thread
// that waits for signals, which lives as long as the process.
void StopOnSignal(const sigset_t& signals, Stage stage, WorkerNode* node = nullptr) {
  static std::mutex mutex;
  static Stage now = Stage::kStarting;
  static WorkerNode* running = nullptr;
  std::lock_guard lock(mutex);
  now = stage;
  running = node;
  static const bool started = [&signals] {
    std::thread([signals] {
      while (true) {
        int number = 0;
        sigwait(&signals, &number);
        const std::string reason = absl::StrCat("signal ", number, " (", strsignal(number), ")");
        std::lock_guard lock(mutex);
        if (running != nullptr) running->RequestStop(reason);
        if (now == Stage::kStarting) {
          spdlog::info("stopped by {} before it joined a coordinator", reason);
          std::_Exit(static_cast<int>(ExitCode::kOk));
        }
      }
    }).detach();
    return true;
  }();
  static_cast<void>(started);
}

int Run(const BackendChoice& choice, WorkerNodeOptions options, const PackedOptions& packed,
        const sigset_t& signals) {
  StopOnSignal(signals, Stage::kStarting);
  absl::StatusOr<RankBackend> backend = ChooseBackend(choice);
  if (!backend.ok()) {
    spdlog::error("{}", std::string(backend.status().message()));
    return static_cast<int>(ExitCode::kConfiguration);
  }
  options.backend = backend->name;
  options.card = backend->card;
  options.nccl = backend->nccl;
  options.gloo = backend->gloo;
  options.machine = ReadMachineReport(backend->card.substr(backend->card.rfind('/') + 1));
  options.new_world = backend->new_world;
  const CreateEngine create = [&](const EngineOptions& asked, Communicator* world,
                                  const Engine::Progress& progress) {
    EngineOptions engine = asked;
    engine.packed = packed;
    return backend->create(engine, world, progress);
  };
  absl::StatusOr<std::unique_ptr<WorkerNode>> node = WorkerNode::Start(options, backend->join, create);
  if (!node.ok()) {
    spdlog::error("{}", std::string(node.status().message()));
    return static_cast<int>(ExitCodeOfLeaving(node.status()));
  }
  StopOnSignal(signals, Stage::kRunning, node->get());
  const absl::Status end = (*node)->WaitUntilEnd();
  const absl::Status load = (*node)->load_status();
  const int code = static_cast<int>(load.ok() ? ExitCodeOfLeaving(end) : ExitCodeOfLoad(load));
  if (end.ok()) {
    spdlog::info("stopped");
  } else {
    spdlog::error("{}", std::string(end.message()));
  }
  std::thread([code] {
    std::this_thread::sleep_for(kEndWithin);
    std::_Exit(code);
  }).detach();
  StopOnSignal(signals, Stage::kEnding);
  node->reset();
  LeaveMpi(code);
  return code;
}

// The limits of the system that this process needs.
ProcessNeeds NeedsOf(const WorkerNodeOptions& options) {
  return {.threads = options.threads + RpcThreads(),
          .files = 64 + 4 * std::max(options.launch_world, 1),
          .better_files = 1024};
}

}  // namespace

int main(int argc, char** argv) {
  ExplainRefusals("deeprack-worker");
  const sigset_t signals = BlockEndingSignals();
  Settings settings;
  const ProgramText text = {.name = "deeprack-worker",
                            .description = "One rank of a deeprack cluster. Start one process for each rank.",
                            .version = DEEPRACK_VERSION};
  if (const auto code = ReadCommandLine(Program::kWorker, text, argc, argv, settings)) return *code;

  const LaunchWorld launch = DetectLaunchWorld();
  const int local_rank = FromLauncher("OMPI_COMM_WORLD_LOCAL_RANK", 0);
  const int local_ranks = std::max(FromLauncher("OMPI_COMM_WORLD_LOCAL_SIZE", 1), local_rank + 1);
  const int allowed = AllowedProcessorCount();
  const int usable = UsableProcessors(allowed, ReadControlGroup());
  const BackendChoice choice = {.backend = settings.backend,
                                .card = settings.card,
                                .launch = launch,
                                .listen = settings.listen,
                                .coordinator = settings.coordinator,
                                .local_rank = local_rank,
                                .local_ranks = local_ranks,
                                // With a quota of processor time, containers of one machine share its
                                // processors. Bound to processors, all containers would take the same ones.
                                .bind_threads = settings.bind_threads && usable == allowed,
                                .decode_graphs = settings.decode_graphs,
                                .unverified_kernels = settings.unverified_kernels};
  const PackedOptions packed = {.folder = settings.packed, .full_check = settings.packed_check == "full"};
  WorkerNodeOptions options{
      .coordinator = settings.coordinator,
      .listen = settings.listen,
      .launch_rank = launch.rank,
      .launch_world = launch.size,
      // By default this launch's ranks on this machine divide the processors.
      .threads = settings.threads > 0 ? settings.threads : std::max(1, usable / local_ranks),
      .coordinator_wait = absl::Seconds(settings.coordinator_wait)};
  const std::string who = launch.rank < 0 ? "worker" : absl::StrCat("worker ", launch.rank);
  if (const absl::Status status = InitLog(who, settings.log_level); !status.ok()) {
    std::cerr << status.message() << "\n";
    return static_cast<int>(ExitCode::kUsage);
  }
  TakeGrpcLog();
  if (const absl::Status status = CheckProcessLimits("this worker", NeedsOf(options)); !status.ok()) {
    spdlog::error("{}", std::string(status.message()));
    return static_cast<int>(ExitCode::kConfiguration);
  }
  if (!settings.cluster_tls.empty()) {
    absl::StatusOr<ClusterTls> tls = LoadClusterTls(settings.cluster_tls);
    if (!tls.ok()) {
      spdlog::error("{}", std::string(tls.status().message()));
      return static_cast<int>(ExitCode::kConfiguration);
    }
    options.tls = *std::move(tls);
  }
  return Run(choice, std::move(options), packed, signals);
}
