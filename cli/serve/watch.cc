// ServerProcesses::Watch: a cluster that serves, and that recovers from the loss of a rank.
#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/exit_code.h"
#include "cli/serve/server_processes.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
constexpr absl::Duration kLook = absl::Seconds(1);  // between two requests of /ready while serving
// How long to wait after a failure: for a process that has ended, which is the better explanation, and for
// streams to get their last event.
constexpr absl::Duration kLastEvents = absl::Seconds(2);
// How long the coordinator may take to notice that ranks have ended, and how long mpirun may take to end when
// ranks are missing: mpirun waits for a rank on a machine that cannot be reached.
constexpr absl::Duration kNotice = absl::Seconds(20);
constexpr absl::Duration kLongestWait = absl::Seconds(30);
constexpr auto kPatience = std::chrono::seconds(8);
// When more than kMostDeaths coordinators in a row die, each sooner after its start than kLongEnough, serving
// ends.
constexpr int kMostDeaths = 5;
constexpr absl::Duration kLongEnough = absl::Minutes(5);

// True for an exit code with which a new start would end again. kConfiguration is not among them: the rank
// has served before, and memory that is missing now may become free.
bool IsForGood(int exit_code) {
  return exit_code == static_cast<int>(ExitCode::kUsage) ||
         exit_code == static_cast<int>(ExitCode::kBadWeights);
}

}  // namespace

std::optional<ServeEnd> ServerProcesses::Watch(const std::function<bool()>& until, const Tell& tell) {
  absl::Time next_look = absl::Now() + kLook;
  while (!until()) {
    if (auto end = TakeCoordinatorsEnd(tell)) return end;
    if (auto end = TakeWorkersEnd(tell)) return end;
    if (absl::Now() >= next_look) {
      const auto state = AskReady(absl::Seconds(5));
      if (state.ok()) {
        if (auto end = TakeState(*state, tell)) return end;
      }
      const bool all_well = !paused_since_ && (workers_.has_value() || options_.workers != "local");
      next_look = absl::Now() + (all_well ? kLook : kTick);
    }
    signals_->WaitFor(kTick);
  }
  return std::nullopt;
}

// Ranks that are left keep their weights (`coordinator_wait`), if they exchange over nothing that mpirun
// made. serve cannot tell which way its own mpirun's ranks exchange, so it takes them for MPI's.
std::optional<ServeEnd> ServerProcesses::TakeCoordinatorsEnd(const Tell& tell) {
  auto end = CheckCoordinator();
  if (!end) return std::nullopt;
  const auto code = coordinator_->Poll();
  const bool by_signal = code.has_value() && *code > 128;
  const bool ranks_stay =
      options_.coordinator_wait > 0 && (options_.workers != "local" || options_.layout().world_size() == 1);
  if (!by_signal || !recovers() || !ranks_stay) return end;
  if (absl::Now() - coordinator_started_ > kLongEnough) coordinators_died_ = 0;
  if (++coordinators_died_ > kMostDeaths) return end;
  tell(absl::StrCat(end->message, "; starting it again"));
  if (!paused_since_) paused_since_ = absl::Now();
  Settings same_ports = options_;
  same_ports.port = ports_.http;
  same_ports.cluster_address = CoordinatorAddress(options_, ports_);
  return StartCoordinator(same_ports);
}

std::optional<ServeEnd> ServerProcesses::TakeWorkersEnd(const Tell& tell) {
  if (!workers_.has_value()) return std::nullopt;
  const auto code = workers_->Poll();
  if (!code.has_value()) return std::nullopt;
  if (!recovers() || IsForGood(*code)) return WorkersEnded(*code);
  last_exit_code_ = *code;
  workers_ended_ = absl::Now();
  tell(absl::StrCat("the workers (pid ", workers_->pid(), ") have ended: ", DescribeEnd(*code),
                    wait_ > absl::ZeroDuration()
                        ? absl::StrCat("; starting them again in ", absl::FormatDuration(wait_))
                        : "; starting them again"));
  workers_.reset();
  return std::nullopt;
}

std::optional<ServeEnd> ServerProcesses::TakeState(const ReadyState& state, const Tell& tell) {
  if (state.state == "failed") return ServingFailed(state.message);
  if (state.state == "recovering") return RestartWorkers(state, tell);
  if (state.state != "ready") return std::nullopt;
  if (paused_since_) {
    tell("serving again");
    paused_since_.reset();
  }
  if (workers_.has_value()) {
    wait_ = absl::ZeroDuration();
  } else if (options_.workers == "local" && absl::Now() - workers_ended_ > kNotice) {
    return ServeEnd{static_cast<int>(ExitCode::kInternal),
                    absl::StrCat("the workers have ended (", DescribeEnd(last_exit_code_),
                                 "), but the coordinator reports that it is ready")};
  }
  return std::nullopt;
}

// Serving may end while every process runs, when a step failed.
std::optional<ServeEnd> ServerProcesses::ServingFailed(const std::string& message) {
  const absl::Time deadline = absl::Now() + kLastEvents;
  while (absl::Now() < deadline) {
    if (auto end = CheckEnd()) return end;
    signals_->WaitFor(kTick);
  }
  return Failed(message);
}

std::optional<ServeEnd> ServerProcesses::RestartWorkers(const ReadyState& state, const Tell& tell) {
  const absl::Time now = absl::Now();
  if (!paused_since_) {
    paused_since_ = now;
    if (options_.workers != "local") {
      tell(absl::StrCat(state.message, "; start what is missing again with\n  ",
                        absl::StrJoin(ExternalWorkerCommand(options_, ports_), " ")));
    }
  }
  if (options_.workers != "local") return std::nullopt;
  if (workers_.has_value()) {
    const bool of_before = workers_started_ < *paused_since_;  // a new mpirun needs time to start its ranks
    if (of_before && !state.missing_ranks.empty() && now - *paused_since_ > kNotice) {
      tell("ranks are missing, but mpirun still runs: stopping mpirun");
      workers_->Stop(kPatience);
    }
    return std::nullopt;
  }
  if (now < workers_ended_ + wait_) return std::nullopt;
  wait_ = std::clamp(2 * wait_, absl::Seconds(1), kLongestWait);
  return StartWorkers();
}

}  // namespace deeprack::cli
