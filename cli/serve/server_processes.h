// Starts, watches and stops a coordinator and its ranks as child processes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/http/url.h"
#include "cli/serve/child_process.h"
#include "cli/serve/commands.h"
#include "cli/serve/ready_state.h"
#include "cli/serve/stop_signals.h"
#include "settings/settings.h"

namespace deeprack::cli {

// How serving ended: by a signal (exit code 0), or because a process ended.
struct ServeEnd {
  int exit_code = 0;
  std::string message;  // for standard error; "" after a signal
};

class ServerProcesses {
 public:
  // options.model is set and has passed Preflight. `signals` outlives this.
  ServerProcesses(Settings options, StopSignals* signals) : options_(std::move(options)), signals_(signals) {}
  // Stops everything.
  ~ServerProcesses() { Stop(); }

  // Starts the processes and asks /ready until the coordinator serves requests; `on_state` gets each answer.
  // nullopt: the coordinator is ready.
  std::optional<ServeEnd> StartAndWaitUntilReady(const std::function<void(const ReadyState&)>& on_state);

  // Watches until a signal, the end of serving, or until `until` returns true (nullopt; `until` is called
  // several times a second). While the coordinator recovers from the loss of a rank, ranks that were started
  // here and have ended are started again. A coordinator that dies by a signal is started again if its ranks
  // keep their weights. `tell` gets a line for people about each event.
  std::optional<ServeEnd> Watch(const std::function<bool()>& until,
                                const std::function<void(const std::string&)>& tell);

  // Stops the coordinator, which lets running requests finish for up to drain_seconds and ends the workers,
  // then the workers that are left. A signal in the meantime ends the requests. Safe to call twice.
  void Stop();

  const Url& url() const { return url_; }
  const CoordinatorPorts& ports() const { return ports_; }
  const Settings& options() const { return options_; }

 private:
  std::optional<ServeEnd> StartCoordinator(const Settings& settings);
  std::optional<ServeEnd> StartWorkers();
  std::optional<ServeEnd> ReadPorts();
  void StopCoordinator();
  // The end of serving after a signal, or when the coordinator or the workers have ended.
  std::optional<ServeEnd> CheckEnd();
  std::optional<ServeEnd> CheckCoordinator();
  absl::StatusOr<ReadyState> AskReady(absl::Duration patience) const;
  ServeEnd WorkersEnded(int exit_code);
  ServeEnd Failed(const std::string& message);

  // Watch's (watch.cc).
  using Tell = std::function<void(const std::string&)>;
  bool recovers() const { return options_.recovery_timeout != 0 && options_.recovery_limit.times != 0; }
  // Nullopt also when another coordinator was started in the place of one that died.
  std::optional<ServeEnd> TakeCoordinatorsEnd(const Tell& tell);
  std::optional<ServeEnd> TakeWorkersEnd(const Tell& tell);
  std::optional<ServeEnd> TakeState(const ReadyState& state, const Tell& tell);
  std::optional<ServeEnd> ServingFailed(const std::string& message);
  std::optional<ServeEnd> RestartWorkers(const ReadyState& state, const Tell& tell);

  const Settings options_;
  StopSignals* const signals_;
  CoordinatorPorts ports_;
  Url url_;
  std::optional<ChildProcess> coordinator_;
  absl::Time coordinator_started_ = absl::InfinitePast();
  int coordinators_died_ = 0;  // in a row, each soon after its start
  std::optional<ChildProcess> workers_;  // mpirun, or the only rank

  // While serving.
  std::optional<absl::Time> paused_since_;  // since when the coordinator recovers
  absl::Time workers_started_ = absl::InfinitePast();
  absl::Time workers_ended_ = absl::InfinitePast();
  int last_exit_code_ = 0;  // of the last workers that ended
  absl::Duration wait_;     // before the next start, after the workers' end
};

}  // namespace deeprack::cli
