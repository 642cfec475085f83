// deeprack-worker: one rank. Started by mpirun (or alone, for a layout of one rank); the coordinator tells it
// the rest.
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

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/rpc/cluster_tls.h"
#include "spdlog/spdlog.h"
#include "worker/collectives/mpi/mpi_world.h"
#include "worker/rpc/rank_backend.h"
#include "worker/rpc/worker_node.h"
#include "worker/weights/packed_options.h"

namespace {

using namespace deeprack;
using namespace deeprack::worker;

// sysexits.h, as far as this program uses it.
enum ExitCode {
  kDone = 0,
  kUsage = 64,
  kBadWeights = 65,
  kPeersUnreachable = 69,
  kInternal = 70,
  kTryAgain = 75,  // a new process may do better: this one's world of ranks is gone
  kConfiguration = 78
};

// An engine in the middle of a load or a step cannot be interrupted; after this long the process ends without
// it.
constexpr auto kEndWithin = std::chrono::seconds(5);

ExitCode ExitCodeOfLoad(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
      return kBadWeights;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnavailable:
      return kPeersUnreachable;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kResourceExhausted:
      return kConfiguration;
    default:
      return kInternal;
  }
}

ExitCode ExitCodeOfEnd(const absl::Status& status) {
  if (status.ok()) return kDone;
  if (absl::IsUnavailable(status)) return kPeersUnreachable;
  if (absl::IsAborted(status) || absl::IsResourceExhausted(status)) return kTryAgain;
  if (absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ||
      absl::IsAlreadyExists(status)) {
    return kConfiguration;
  }
  return kInternal;
}

int FromLauncher(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) && value >= 0 ? value : otherwise;
}

// The host's cores shared out over this launch's ranks on it.
int DefaultThreads() {
  const int ranks_here = std::max(1, FromLauncher("OMPI_COMM_WORLD_LOCAL_SIZE", 1));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / ranks_here);
}

// SIGTERM and SIGINT are blocked in every thread and taken by one that waits for them.
sigset_t BlockEndingSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// From now on a signal ends `node`; none when it is null. The thread that waits for signals is started once,
// for the process's life.
void StopOnSignal(const sigset_t& signals, WorkerNode* node) {
  static std::mutex mutex;
  static WorkerNode* running = nullptr;
  std::lock_guard lock(mutex);
  running = node;
  static const bool started = [&signals] {
    std::thread([signals] {
      while (true) {
        int number = 0;
        sigwait(&signals, &number);
        std::lock_guard lock(mutex);
        if (running != nullptr)
          running->RequestStop(absl::StrCat("signal ", number, " (", strsignal(number), ")"));
      }
    }).detach();
    return true;
  }();
  static_cast<void>(started);
}

int Run(const BackendChoice& choice, WorkerNodeOptions options, const PackedOptions& packed,
        const sigset_t& signals) {
  absl::StatusOr<RankBackend> backend = ChooseBackend(choice);
  if (!backend.ok()) {
    spdlog::error("{}", std::string(backend.status().message()));
    return absl::IsInvalidArgument(backend.status()) ? kUsage : kConfiguration;
  }
  options.backend = backend->name;
  options.card = backend->card;
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
    return ExitCodeOfEnd(node.status());
  }
  StopOnSignal(signals, node->get());
  const absl::Status end = (*node)->WaitUntilEnd();
  const absl::Status load = (*node)->load_status();
  const ExitCode code = load.ok() ? ExitCodeOfEnd(end) : ExitCodeOfLoad(load);
  if (end.ok()) {
    spdlog::info("stopped");
  } else {
    spdlog::error("{}", std::string(end.message()));
  }
  std::thread([code] {
    std::this_thread::sleep_for(kEndWithin);
    std::_Exit(code);
  }).detach();
  StopOnSignal(signals, nullptr);
  node->reset();
  LeaveMpi(code);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t signals = BlockEndingSignals();
  const LaunchWorld launch = DetectLaunchWorld();
  WorkerNodeOptions options{
      .launch_rank = launch.rank, .launch_world = launch.size, .threads = DefaultThreads()};
  BackendChoice choice = {.launch = launch, .local_rank = FromLauncher("OMPI_COMM_WORLD_LOCAL_RANK", 0)};
  choice.local_ranks = std::max(FromLauncher("OMPI_COMM_WORLD_LOCAL_SIZE", 1), choice.local_rank + 1);
  std::string cluster_tls;
  PackedOptions packed;
  std::string log_level = "info";

  CLI::App app("One rank of a deeprack cluster. Start it with mpirun, one process per rank.",
               "deeprack-worker");
  app.set_version_flag("--version", DEEPRACK_VERSION);
  app.add_option("--coordinator", options.coordinator, "where the coordinator listens for workers, host:port")
      ->required();
  app.add_option("--listen", options.listen,
                 "where this worker serves, host:port; port 0: any, host 0.0.0.0: every interface; default: "
                 "127.0.0.1:0 when the coordinator is on loopback, 0.0.0.0:0 otherwise");
  app.add_option("--cluster-tls", cluster_tls,
                 "folder of ca.crt, tls.crt and tls.key; needed when an address is not loopback");
  app.add_option("--backend", choice.backend, "auto, cpu or cuda; auto: cuda where there is a card, else cpu")
      ->capture_default_str();
  app.add_option("--card", choice.card,
                 "the card's number; default: each rank of a machine its own, in turn");
  app.add_flag("--decode-graphs", choice.decode_graphs,
               "decode steps as CUDA graphs: not yet proven on a card");
  app.add_flag("--unverified-kernels", choice.unverified_kernels,
               "for developers: use kernels made for this card that have not passed `make gpu-check` on one; "
               "answers may be wrong")
      ->envname("DEEPRACK_UNVERIFIED_KERNELS");
  app.add_option("--threads", options.threads, "compute threads, when the coordinator does not say")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("--bind-threads,!--no-bind-threads", choice.bind_threads,
               "bind compute threads to processors where the ranks of this machine have one for each, and "
               "threads and memory to NUMA nodes; default: yes")
      ->envname("DEEPRACK_BIND_THREADS");
  app.add_option("--packed", packed.folder,
                 "folder of this rank's packed weights: mapped from there at once, or packed to there");
  app.add_option_function<std::string>(
         "--packed-check", [&packed](const std::string& check) { packed.full_check = check == "full"; },
         "header: a packed file's size and header; full: also all of its data")
      ->check(CLI::IsMember({"header", "full"}))
      ->default_str("header");
  app.add_option("--log-level", log_level, "trace, debug, info, warn, error or off")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  const std::string who = launch.rank < 0 ? "worker" : absl::StrCat("worker ", launch.rank);
  if (const absl::Status status = InitLog(who, log_level); !status.ok()) {
    std::cerr << status.message() << "\n";
    return kUsage;
  }
  if (!cluster_tls.empty()) {
    absl::StatusOr<ClusterTls> tls = LoadClusterTls(cluster_tls);
    if (!tls.ok()) {
      spdlog::error("{}", std::string(tls.status().message()));
      return kConfiguration;
    }
    options.tls = *std::move(tls);
  }
  return Run(choice, std::move(options), packed, signals);
}
